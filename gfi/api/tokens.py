"""Tokens, which administrators create and revoke."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from gfi.api.access import Admin
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.schemas import LARGEST, In, Text
from gfi.store import ledger, queries
from gfi.store.ledger.tokens import create_token

router = APIRouter(prefix="/v1", route_class=StrictRoute)


class TokenLimits(In):
    """The limits of a token. An absent limit is the one that the operator set for everyone."""

    requests_per_minute: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_body: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_images: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_active_jobs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_device_seconds: Annotated[int, Field(ge=1, le=LARGEST)] | None = None


class TokenIn(In):
    """A token to create."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Literal["read", "submit", "admin"]], Field(min_length=1, max_length=3)]
    expires_in_s: Annotated[float, Field(gt=0, le=10 * 366 * 86400, allow_inf_nan=False)] | None = None
    limits: TokenLimits = TokenLimits()


class TokenMade(BaseModel):
    """A new token. It is shown only here."""

    id: str
    token: str


class TokenOut(BaseModel):
    """A token in lists, without its secret."""

    id: str
    name: str
    scopes: list[str]
    limits: dict[str, Any] | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    used_at: float | None


@router.get("/tokens", tags=["tokens"], responses=documented())
def list_tokens(context: ContextDep, caller: Admin) -> list[TokenOut]:
    """Tokens, newest first."""
    return [TokenOut(**token) for token in queries.list_tokens(context.database)]


@router.post("/tokens", tags=["tokens"], status_code=201, responses=documented(409, 413))
def make_token(body: TokenIn, context: ContextDep, caller: Admin) -> TokenMade:
    """Create a token. Only this response contains it; only its hash is stored."""
    if not body.name.strip():
        raise Refused(422, "body.name: the name is blank", "Name the token after who uses it.")
    token_id, token = create_token(
        context.database,
        body.name,
        body.scopes,
        expires_in_s=body.expires_in_s,
        limits=body.limits.model_dump(exclude_none=True),
        actor=caller.name,
    )
    return TokenMade(id=token_id, token=token)


@router.delete("/tokens/{token_id}", tags=["tokens"], status_code=204, responses=documented(404, 409))
def revoke_token(
    token_id: Annotated[str, Path(min_length=1, max_length=64)], context: ContextDep, caller: Admin
) -> None:
    """Revoke a token from now on. The token of the request itself is refused with 409."""
    if token_id == caller.id:
        raise Refused(409, "a token cannot revoke itself", "Use another token, or `gfi tokens revoke`.")
    ledger.revoke_token(context.database, token_id, actor=caller.name)

"""Tokens, made and revoked by an administrator."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from gfi.api.access import Admin
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.schemas import LARGEST, In, Text
from gfi.store import ledger
from gfi.store.access import create_token, people

router = APIRouter(prefix="/v1", route_class=StrictRoute)


class TokenLimits(In):
    """What a token may at most; absent: what the operator allows everyone."""

    requests_per_minute: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_body: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_images: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_active_jobs: Annotated[int, Field(ge=1, le=100_000)] | None = None


class TokenIn(In):
    """A token to be made."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Literal["read", "submit", "admin"]], Field(min_length=1, max_length=3)]
    expires_in_s: Annotated[float, Field(gt=0, le=10 * 366 * 86400, allow_inf_nan=False)] | None = None
    limits: TokenLimits = TokenLimits()


class TokenMade(BaseModel):
    """The token, shown this once."""

    id: str
    token: str


class TokenOut(BaseModel):
    """A token, without what identifies it."""

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
    return [TokenOut(**each) for each in people(context.database)]


@router.post("/tokens", tags=["tokens"], status_code=201, responses=documented(409, 413))
def make_token(body: TokenIn, context: ContextDep, caller: Admin) -> TokenMade:
    """Make a token. It is in this answer and nowhere else: only its hash is kept."""
    if not body.name.strip():
        raise Refused(422, "body.name: a token needs a name")
    made, plain = create_token(
        context.database,
        body.name,
        body.scopes,
        expires_in_s=body.expires_in_s,
        limits=body.limits.model_dump(exclude_none=True),
        actor=caller.name,
    )
    return TokenMade(id=made, token=plain)


@router.delete("/tokens/{token_id}", tags=["tokens"], status_code=204, responses=documented(404, 409))
def revoke_token(
    token_id: Annotated[str, Path(min_length=1, max_length=64)], context: ContextDep, caller: Admin
) -> None:
    """Make a token worthless from now on; not the one that is calling."""
    if token_id == caller.id:
        raise Refused(
            409, "this is the token you are calling with", "Revoke it with another, or `gfi tokens`."
        )
    ledger.revoke_token(context.database, token_id, actor=caller.name)

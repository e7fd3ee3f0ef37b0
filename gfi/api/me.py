"""The caller of the request."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.problems import documented

router = APIRouter(prefix="/v1", route_class=StrictRoute)


class MeOut(BaseModel):
    """The caller. `csrf`: what a browser must send as X-GFI-CSRF."""

    id: str
    name: str
    scopes: list[str]
    limits: dict[str, Any]
    csrf: str | None


@router.get("/me", tags=["tokens"], responses=documented())
def who_am_i(caller: Reader) -> MeOut:
    """The caller's name, scopes and limits."""
    scopes = [scope for scope in ("admin", "read", "submit") if caller.may(scope)]
    return MeOut(id=caller.id, name=caller.name, scopes=scopes, limits=caller.limits, csrf=caller.csrf)

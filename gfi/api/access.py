"""Who calls, and what they may.

A caller shows a bearer token, or a browser its session cookie. Scopes contain each other: `admin` may all that
`submit` may, and `submit` all that `read` may. A `submit` token changes its own jobs, `admin` everyone's.

The cookie holds a token as well (HttpOnly, SameSite=Strict). A request that changes something with it must also
carry `X-GFI-CSRF`, a digest of the token that another site can neither read nor guess, and come from this origin.

Kinds of tokens, told by `limits.kind`: none for those people make; `link` for a one-time sign-in link, good for
nothing but POST /sign-in; `session` for a browser that used one.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from gfi.api.problems import Refused
from gfi.store import ledger
from gfi.store.access import LINK
from gfi.store.database import Database
from gfi.store.ledger import Token

COOKIE = "gfi_session"
CSRF_HEADER = "x-gfi-csrf"
_CONTAINS = {"admin": {"admin", "submit", "read"}, "submit": {"submit", "read"}, "read": {"read"}}


@dataclass(frozen=True)
class Caller:
    """A verified caller. `csrf` is set for browsers."""

    id: str
    name: str
    scopes: frozenset[str]
    limits: dict[str, Any]
    csrf: str | None = None

    def may(self, scope: str) -> bool:
        """Whether one of the scopes contains this one."""
        return any(scope in _CONTAINS.get(each, ()) for each in self.scopes)

    def require_owner(self, owner: str) -> None:
        """Refused unless the job is this caller's or the caller administers all."""
        if not self.may("admin") and owner != self.name:
            raise Refused(403, "this job is someone else's; only they or an administrator may change it")


def csrf_of(token: str) -> str:
    """What a browser must send beside its cookie."""
    return hmac.new(token.encode(), b"gfi csrf", hashlib.sha256).hexdigest()


def bearer(database: Database, header: str) -> Caller:
    """The caller of an Authorization header. Refused with 401."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(401, "the Authorization header is not of the form `Bearer TOKEN`")
    found = ledger.verify_token(database, token.strip())
    if found is None or found.limits.get("kind") is not None:
        raise Refused(401, "this token is unknown, expired or revoked")
    return _caller(found, None)


def browser(database: Database, cookie: str) -> Caller:
    """The caller of a session cookie. Refused with 401."""
    found = ledger.verify_token(database, cookie)
    if found is None or found.limits.get("kind") == LINK:
        raise Refused(401, "this session has ended", "Sign in again: `gfi open` prints a link.")
    return _caller(found, csrf_of(cookie))


def _caller(token: Token, csrf: str | None) -> Caller:
    return Caller(token.id, token.name, frozenset(token.scopes), token.limits, csrf)


# For the OpenAPI document; the guard has verified the caller before any route is reached.
_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token: `gfi tokens create`.")
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="session", description="A signed-in browser."
)


def _scoped(scope: str) -> Any:
    def check(request: Request, _token: Any = Depends(_bearer), _session: Any = Depends(_cookie)) -> Caller:
        caller: Caller | None = request.scope.get("state", {}).get("caller")
        if caller is None:
            raise Refused(401, "no token was sent")
        if not caller.may(scope):
            have = ", ".join(sorted(caller.scopes)) or "none"
            raise Refused(403, f"this needs the scope `{scope}`; this token has {have}")
        return caller

    return Depends(check)


Reader = Annotated[Caller, _scoped("read")]
Submitter = Annotated[Caller, _scoped("submit")]
Admin = Annotated[Caller, _scoped("admin")]

"""Who calls, and what the caller is allowed to do.

A program sends a bearer token, a browser its session cookie. The scope `admin` includes `submit`, and `submit` includes
`read`. A `submit` token changes its own jobs, an `admin` token everyone's.

The cookie holds a token as well (HttpOnly, SameSite=Strict). A browser's request that changes something must also carry
`X-GFI-CSRF`, a digest of the token that another site can neither read nor guess, and must come from this origin.

The kind of a token: `api` for those that people create; `link` for a one-time sign-in link, which only
POST /sign-in accepts; `session` for a browser that signed in with a link or a token. A session that a token started has
the token's name, rights and limits, is counted as that token, and ends with it.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from gfi.api.problems import Refused
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.ledger import Token
from gfi.store.ledger.tokens import API, SESSION

COOKIE = "gfi_session"
CSRF_HEADER = "x-gfi-csrf"
_INCLUDED = {"admin": {"admin", "submit", "read"}, "submit": {"submit", "read"}, "read": {"read"}}


@dataclass(frozen=True)
class Caller:
    """A verified caller. For browsers `csrf` and `session`, the id of the session, are set; `id` is that of the token
    that was used to sign in, if any."""

    id: str
    name: str
    kind: str
    scopes: frozenset[str]
    limits: dict[str, Any]
    csrf: str | None = None
    session: str | None = None

    def may(self, scope: str) -> bool:
        """Whether one of the caller's scopes includes this one."""
        return any(scope in _INCLUDED.get(own, ()) for own in self.scopes)

    def require_owner(self, owner: str) -> None:
        """Refuses with 403 unless the caller owns the job or is an administrator."""
        if not self.may("admin") and owner != self.name:
            raise Refused(403, "only the owner of this job or an administrator may change it")


def csrf_of(token: str) -> str:
    """The digest of the token, which a browser sends in the header X-GFI-CSRF in addition to its cookie."""
    return hmac.new(token.encode(), b"gfi csrf", hashlib.sha256).hexdigest()


def bearer(database: Database, header: str) -> Caller:
    """The caller of an Authorization header. Refused with 401."""
    return _caller(bearer_token(database, header), None)


def bearer_token(database: Database, header: str) -> Token:
    """The valid token of the API in an Authorization header. Refused with 401."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(401, "the Authorization header is not of the form `Bearer TOKEN`")
    verified = ledger.verify_token(database, token.strip())
    if verified is None or verified.kind != API:
        raise Refused(401, "this token is unknown, expired or revoked")
    return verified


def browser(database: Database, cookie: str) -> Caller:
    """The caller of a session cookie. Refused with 401."""
    verified = ledger.verify_token(database, cookie)
    if verified is None or verified.kind != SESSION:
        raise Refused(401, "this session has ended", "Sign in again: `gfi open` prints a link.")
    return _caller(verified, csrf_of(cookie))


def _caller(token: Token, csrf: str | None) -> Caller:
    return Caller(
        token.parent_id or token.id,
        token.name,
        token.kind,
        frozenset(token.scopes),
        token.limits,
        csrf,
        token.id if csrf is not None else None,
    )


# For the OpenAPI document; the guard has verified the caller before any route is reached.
_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token; `gfi tokens create` makes one."
)
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="session", description="A signed-in browser."
)


def _scoped(scope: str) -> Any:
    def check(request: Request, _token: Any = Depends(_bearer), _session: Any = Depends(_cookie)) -> Caller:
        caller: Caller | None = request.scope.get("state", {}).get("caller")
        if caller is None:
            raise Refused(401, "the request has no token")
        if not caller.may(scope):
            scopes = ", ".join(sorted(caller.scopes)) or "none"
            raise Refused(403, f"this needs the scope `{scope}`; the scopes of this token: {scopes}")
        return caller

    return Depends(check)


Reader = Annotated[Caller, _scoped("read")]
Submitter = Annotated[Caller, _scoped("submit")]
Admin = Annotated[Caller, _scoped("admin")]

"""Tokens as the API and the command line hand them out: for people and programs, for one sign-in, for a browser."""

from collections.abc import Mapping, Sequence
from typing import Any

from gfi.domain.digests import JSON
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, StoreError

LINK, SESSION = "link", "session"
"""`limits.kind` of tokens that are no one's to keep: a one-time sign-in link, and the browser that used one."""


def people(database: Database) -> list[JSON]:
    """Tokens that someone made, newest first, without what identifies them."""
    return [each for each in queries.list_tokens(database) if (each["limits"] or {}).get("kind") is None]


def create_token(
    database: Database,
    name: str,
    scopes: Sequence[str],
    *,
    expires_in_s: float | None = None,
    limits: Mapping[str, Any] | None = None,
    actor: str = "local",
) -> tuple[str, str]:
    """(id, the token). Names are the owners of jobs, so a living token's name is not given twice: Conflict."""
    if not name.strip() or len(name) > 200 or "\0" in name:
        raise StoreError("a token needs a name, of 200 letters at most")
    if any(each["name"] == name and not each["revoked_at"] for each in queries.list_tokens(database)):
        raise Conflict(f"a token named {name!r} exists; revoke it first, or choose another name")
    return ledger.create_token(
        database, name, scopes, expires_in_s=expires_in_s, limits=limits, actor=actor
    )  # fmt: skip


def create_link(database: Database, seconds: float, *, actor: str = "local") -> str:
    """The secret of a sign-in link, good once."""
    _, plain = ledger.create_token(
        database, "sign-in link", ["admin"], expires_in_s=seconds, limits={"kind": LINK}, actor=actor
    )
    return plain


def redeem_link(database: Database, plain: str, session_s: float) -> str | None:
    """The token of a new browser session for a link's secret; None when the link is spent or unknown."""
    found = ledger.verify_token(database, plain)
    if found is None or found.limits.get("kind") != LINK:
        return None
    if not ledger.revoke_token(database, found.id, actor="sign-in"):
        return None  # someone else was faster: a link is good once
    _, session = ledger.create_token(
        database, "local", found.scopes, expires_in_s=session_s, limits={"kind": SESSION}, actor="sign-in"
    )
    return session

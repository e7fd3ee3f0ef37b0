"""API tokens: created, verified, revoked; sign-in links and browser sessions."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.store.database import Database, now
from gfi.store.errors import Conflict, NotFound, StoreError
from gfi.store.ledger.audit import record
from gfi.store.tables import tokens

SCOPES = ("read", "submit", "admin")
API, LINK, SESSION = "api", "link", "session"
"""Kinds of tokens: made by somebody, a one-time sign-in link, the browser session that a link started."""


@dataclass(frozen=True)
class Token:
    """Who calls, and what they may."""

    id: str
    name: str
    kind: str
    scopes: tuple[str, ...]
    limits: JSON


def _insert_token(
    db: Database,
    name: str,
    scopes: Iterable[str],
    kind: str,
    *,
    expires_in_s: float | None = None,
    limits: Mapping[str, Any] | None = None,
    actor: str = "local",
) -> tuple[str, str]:
    """(id, the token itself). The token is shown this once: only its SHA-256 is kept."""
    wanted = tuple(sorted(set(scopes)))
    if unknown := set(wanted) - set(SCOPES):
        raise StoreError(f"no scope {sorted(unknown)[0]!r}; there are {', '.join(SCOPES)}")
    token_id, plain = new_id(), f"gfi_{secrets.token_urlsafe(32)}"
    with db.begin() as connection:
        connection.execute(
            sa.insert(tokens).values(
                id=token_id,
                name=name,
                kind=kind,
                sha256=_hash(plain),
                scopes=list(wanted),
                limits=dict(limits or {}),
                created_at=now(),
                expires_at=None if expires_in_s is None else now() + expires_in_s,
            )
        )
        record(connection, actor, "token.created", None, {"id": token_id, "scopes": list(wanted)})
    return token_id, plain


def create_token(
    db: Database,
    name: str,
    scopes: Iterable[str],
    *,
    expires_in_s: float | None = None,
    limits: Mapping[str, Any] | None = None,
    actor: str = "local",
) -> tuple[str, str]:
    """(id, the token). The token is shown this once: only its SHA-256 is kept.

    Names are the owners of jobs, so the name of a token that is not revoked is not given twice: Conflict.
    """
    if not name.strip() or len(name) > 200 or "\0" in name:
        raise StoreError("a token needs a name of at most 200 characters")
    taken = sa.select(tokens.c.id).where(
        tokens.c.name == name, tokens.c.kind == API, tokens.c.revoked_at.is_(None)
    )
    with db.read() as connection:
        if connection.execute(taken.limit(1)).scalar() is not None:
            raise Conflict(f"a token named {name!r} exists; revoke it first, or choose another name")
    return _insert_token(db, name, scopes, API, expires_in_s=expires_in_s, limits=limits, actor=actor)


def create_link(db: Database, seconds: float, *, actor: str = "local") -> str:
    """The secret of a sign-in link, good once."""
    _, plain = _insert_token(db, "sign-in link", ["admin"], LINK, expires_in_s=seconds, actor=actor)
    return plain


def redeem_link(db: Database, plain: str, session_s: float) -> str | None:
    """The token of a new browser session for a link's secret; None when the link is spent or unknown."""
    link = verify_token(db, plain)
    if link is None or link.kind != LINK:
        return None
    if not revoke_token(db, link.id, actor="sign-in"):
        return None  # someone else was faster: a link is good once
    _, session = _insert_token(db, "local", link.scopes, SESSION, expires_in_s=session_s, actor="sign-in")
    return session


def verify_token(db: Database, plain: str) -> Token | None:
    """Whose token this is; None when it is unknown, expired or revoked."""
    valid = sa.and_(
        tokens.c.sha256 == _hash(plain),
        tokens.c.revoked_at.is_(None),
        sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now()),
    )
    with db.read() as connection:
        found = connection.execute(sa.select(tokens, now().label("now")).where(valid)).one_or_none()
    if found is None:
        return None
    if found.used_at is None or found.now - found.used_at > 60.0:  # not a write per request
        with db.begin() as connection:
            connection.execute(sa.update(tokens).where(tokens.c.id == found.id).values(used_at=now()))
    return Token(found.id, found.name, found.kind, tuple(found.scopes), found.limits or {})


def revoke_token(db: Database, token_id: str, *, actor: str = "local") -> bool:
    """Make a token worthless from now on. False when it was so already: of two callers who redeem a one-time
    token, one gets True. NotFound when there is none with this id.
    """
    with db.begin() as connection:
        mine = tokens.c.id == token_id
        changed = connection.execute(
            sa.update(tokens).where(mine, tokens.c.revoked_at.is_(None)).values(revoked_at=now())
        )
        if changed.rowcount:
            record(connection, actor, "token.revoked", None, {"id": token_id})
            return True
        if connection.execute(sa.select(tokens.c.id).where(mine)).scalar() is None:
            raise NotFound(f"no token {token_id}; `gfi tokens` lists them")
        return False


def _hash(plain: str) -> str:
    # Tokens are 256 random bits: there is nothing to guess, so a fast hash is enough.
    return hashlib.sha256(plain.encode()).hexdigest()

"""API tokens, sign-in links and browser sessions: created, verified, revoked."""

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
"""Kinds of tokens: a token of the API, a sign-in link that works once, and the browser session that a link or a token
started."""

_NAMES_LOCK = 7_305_007
"""The number of the PostgreSQL advisory lock that is held while a name is looked up and taken."""


@dataclass(frozen=True)
class Token:
    """A caller and its rights. parent_id: for a session, the token that was used to sign in."""

    id: str
    name: str
    kind: str
    scopes: tuple[str, ...]
    limits: JSON
    parent_id: str | None = None


def _insert_token(
    db: Database,
    name: str,
    scopes: Iterable[str],
    kind: str,
    *,
    expires_in_s: float | None = None,
    limits: Mapping[str, Any] | None = None,
    actor: str = "local",
    parent_id: str | None = None,
) -> tuple[str, str]:
    """(id, the token), of which only the SHA-256 is stored. Raises Conflict if a token of the API has this name."""
    wanted = tuple(sorted(set(scopes)))
    if unknown := set(wanted) - set(SCOPES):
        raise StoreError(f"no scope {sorted(unknown)[0]!r}; the scopes are {', '.join(SCOPES)}")
    token_id, plain = new_id(), f"gfi_{secrets.token_urlsafe(32)}"
    with db.begin() as connection:
        if kind == API:
            _refuse_taken(db, connection, name)
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
                parent_id=parent_id,
            )
        )
        record(connection, actor, "token.created", None, {"id": token_id, "scopes": list(wanted)})
    return token_id, plain


def _refuse_taken(db: Database, connection: sa.Connection, name: str) -> None:
    """Raises Conflict if the name is taken. Of two concurrent calls the second waits and sees the token of the
    first."""
    if not db.is_sqlite:  # SQLite has one writing transaction at a time
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_NAMES_LOCK)))
    taken = sa.select(tokens.c.id).where(
        tokens.c.name == name, tokens.c.kind == API, tokens.c.revoked_at.is_(None)
    )
    if connection.execute(taken.limit(1)).scalar() is not None:
        raise Conflict(f"a token named {name!r} exists; revoke it first, or choose another name")


def create_token(
    db: Database,
    name: str,
    scopes: Iterable[str],
    *,
    expires_in_s: float | None = None,
    limits: Mapping[str, Any] | None = None,
    actor: str = "local",
) -> tuple[str, str]:
    """(id, the token). The token cannot be shown again: only its SHA-256 is stored.

    The name of a token is the owner of its jobs, so no two tokens that are not revoked have the same name: Conflict.
    expires_in_s: None for never. limits: of this caller, see `gfi.api.guard`.
    """
    if not name.strip() or len(name) > 200 or "\0" in name:
        raise StoreError("a token needs a name of at most 200 characters")
    return _insert_token(db, name, scopes, API, expires_in_s=expires_in_s, limits=limits, actor=actor)


def create_link(db: Database, seconds: float, *, actor: str = "local") -> str:
    """The secret of a sign-in link, which works once and for `seconds`."""
    _, plain = _insert_token(db, "sign-in link", ["admin"], LINK, expires_in_s=seconds, actor=actor)
    return plain


def redeem_link(db: Database, plain: str, session_s: float) -> str | None:
    """The token of a new browser session for the secret of a link; None when it was used, expired or is unknown."""
    link = verify_token(db, plain)
    if link is None or link.kind != LINK:
        return None
    if not revoke_token(db, link.id, actor="sign-in"):
        return None  # another caller was faster
    _, session = _insert_token(db, "local", link.scopes, SESSION, expires_in_s=session_s, actor="sign-in")
    return session


def start_session(db: Database, token: Token, session_s: float) -> str:
    """The token of a new browser session with the rights and limits of `token`. It ends with that token.

    The cookie holds the session's token, so the browser never stores a token of the API.
    """
    _, session = _insert_token(
        db,
        token.name,
        token.scopes,
        SESSION,
        expires_in_s=session_s,
        limits=token.limits,
        actor="sign-in",
        parent_id=token.id,
    )
    return session


def verify_token(db: Database, plain: str) -> Token | None:
    """The caller that a token identifies; None when it is unknown, expired or revoked."""
    parent = tokens.alias("parent")
    valid = sa.and_(
        tokens.c.sha256 == _hash(plain),
        _valid(tokens),
        sa.or_(
            tokens.c.parent_id.is_(None),
            sa.exists().where(parent.c.id == tokens.c.parent_id, _valid(parent)),
        ),
    )
    with db.read() as connection:
        row = connection.execute(sa.select(tokens, now().label("now")).where(valid)).one_or_none()
    if row is None:
        return None
    if row.used_at is None or row.now - row.used_at > 60.0:  # at most one write a minute
        with db.begin() as connection:
            connection.execute(sa.update(tokens).where(tokens.c.id == row.id).values(used_at=now()))
    return Token(row.id, row.name, row.kind, tuple(row.scopes), row.limits or {}, row.parent_id)


def _valid(table: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.revoked_at.is_(None), sa.or_(table.c.expires_at.is_(None), table.c.expires_at > now())
    )


def revoke_token(db: Database, token_id: str, *, actor: str = "local") -> bool:
    """Revoke a token. Returns False when it was revoked already: of two calls at once, one returns True.

    NotFound when there is no token with this id.
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
    # A token is 256 random bits and cannot be guessed, so a fast hash is enough.
    return hashlib.sha256(plain.encode()).hexdigest()

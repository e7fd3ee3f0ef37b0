"""Tokens, without their hashes."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import tokens


def list_tokens(db: Database) -> list[JSON]:
    """API tokens, newest first, without their hashes; sign-in links and browser sessions are left out."""
    shown = [column for column in tokens.columns if column.name != "sha256"]
    return fetch(db, sa.select(*shown).where(tokens.c.kind == "api").order_by(tokens.c.id.desc()))

"""Tokens, without what identifies them."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import (
    tokens,
)


def list_tokens(db: Database) -> list[JSON]:
    """Tokens, newest first, without what identifies them."""
    shown = [column for column in tokens.columns if column.name != "sha256"]
    return fetch(db, sa.select(*shown).order_by(tokens.c.id.desc()))

"""Run a query and return its rows as plain dicts."""

from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database

BULK = 5000
"""Rows read at a time where all rows are wanted: a few megabytes."""


def fetch(db: Database, query: sa.Select[Any]) -> list[JSON]:
    """Every row of a query as a dict of its columns."""
    with db.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def named(
    connection: sa.Connection, query: sa.Select[Any], column: sa.Column[str], name: str
) -> list[sa.Row[Any]]:
    """The row whose id is `name`; else the first two whose ids begin with it.

    Not between(name, name + "~"): in the collation of most PostgreSQL servers "~" comes before every letter.
    """
    if not name:
        return []
    exactly = list(connection.execute(query.where(column == name)))
    if exactly:
        return exactly
    begins = query.where(column.startswith(name, autoescape=True))
    return list(connection.execute(begins.order_by(column).limit(2)))

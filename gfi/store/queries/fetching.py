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

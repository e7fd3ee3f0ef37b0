"""Shards of a job, and what went wrong with them."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import incidents, shards


def list_shards(
    db: Database, job_id: str, *, limit: int = 200, after: tuple[int, int] | None = None
) -> list[JSON]:
    """Shards of a job by (generation, start)."""
    query = sa.select(shards).where(shards.c.job_id == job_id)
    if after is not None:
        place = sa.tuple_(shards.c.generation, shards.c.start)
        query = query.where(place > sa.tuple_(*map(sa.literal, after)))
    return fetch(db, query.order_by(shards.c.generation, shards.c.start).limit(limit))


def list_incidents(db: Database, job_id: str, *, limit: int = 200) -> list[JSON]:
    """Deaths, releases and quarantines of a job, newest first."""
    query = sa.select(incidents).where(incidents.c.job_id == job_id)
    return fetch(db, query.order_by(incidents.c.id.desc()).limit(limit))

"""Shards of a job, and what went wrong with them."""

from collections.abc import Sequence

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import ShardState
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import in_state, incidents, shards


def failed_in_retries(db: Database, job_id: str, classes: Sequence[str]) -> list[tuple[int, str, int, int]]:
    """Of the retries of a job, the shards that failed with one of these classes: (retry, key of its manifest, start,
    stop), the earliest retry first."""
    query = (
        sa.select(shards.c.generation, shards.c.manifest_key, shards.c.start, shards.c.stop)
        .where(shards.c.job_id == job_id, shards.c.generation > 0, in_state(shards, ShardState.FAILED))
        .where(shards.c.failure_class.in_(list(classes)))
        .order_by(shards.c.generation, shards.c.start)
    )
    with db.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


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

"""What went wrong in a job, by class."""

from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.metrics import CATALOGUE
from gfi.domain.states import ShardState
from gfi.store.database import Database
from gfi.store.queries.counted import counted
from gfi.store.queries.fetching import fetch
from gfi.store.queries.results import NOT_OK
from gfi.store.tables import in_state, jobs, results, shards


def failures(db: Database, job_id: str) -> list[JSON]:
    """What went wrong, by class: {status, error_class, images, example_row, example}.

    First the images without a usable result, the most frequent class first; then the images of shards that failed
    (status `failed`), or that failed and wait for another attempt or have it without progress (`pending`), without
    those of a retry before the last; then the explained images (`ok`) whose boxes were repaired or could not be used.
    """
    counts = counted(db, job_id)
    by_class = _by_error_class(job_id, counts & NOT_OK)
    rows = fetch(db, by_class) + stopped_shards(db, job_id)
    if _measures_boxes(db, job_id):  # no index helps this query; other jobs have no such images
        rows += fetch(
            db, _by_error_class(job_id, sa.and_(counts, ~NOT_OK, results.c.error_class.is_not(None)))
        )
    return [row | {"images": int(row["images"])} for row in rows]


def stopped_shards(db: Database, job_id: str) -> list[JSON]:
    """The images of shards that failed (status `failed`), or that failed and wait for another attempt or have it
    without progress (`pending`), by class: as `failures` describes them."""
    # A worker that dies at its start holds the shard until its lease runs out: the reason is told meanwhile too.
    begun_again = sa.and_(
        in_state(shards, ShardState.LEASED), shards.c.finished == 0, sa.func.coalesce(shards.c.step, 0) == 0
    )
    status = sa.case(
        (in_state(shards, ShardState.FAILED), ShardState.FAILED.value), else_=ShardState.PENDING.value
    )
    query = (
        sa.select(
            status.label("status"),
            shards.c.failure_class.label("error_class"),
            sa.func.sum(shards.c.stop - shards.c.start).label("images"),
            sa.func.min(shards.c.start).label("example_row"),
            sa.func.min(shards.c.reason).label("example"),
        )
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(
            shards.c.job_id == job_id,
            sa.or_(in_state(shards, ShardState.FAILED), in_state(shards, ShardState.PENDING), begun_again),
            sa.or_(shards.c.generation == 0, shards.c.generation == jobs.c.generation),
            shards.c.reason.is_not(None),
        )
        .group_by(status, shards.c.failure_class)
    )
    return [row | {"images": int(row["images"])} for row in fetch(db, query)]


def _by_error_class(job_id: str, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return (
        sa.select(
            results.c.status,
            results.c.error_class,
            sa.func.count().label("images"),
            sa.func.min(results.c.row).label("example_row"),
            sa.func.min(results.c.error).label("example"),
        )
        .where(results.c.job_id == job_id, which)
        .group_by(results.c.status, results.c.error_class)
        .order_by(sa.desc("images"), results.c.status)
    )


def _measures_boxes(db: Database, job_id: str) -> bool:
    configs = [row["config"] for row in fetch(db, sa.select(jobs.c.config).where(jobs.c.id == job_id))]
    names = [name for config in configs for name in config.get("metrics") or ()]
    return any(CATALOGUE[name].needs == "boxes" for name in names if name in CATALOGUE)

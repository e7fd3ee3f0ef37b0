"""Flags that people put on images."""

from collections.abc import Sequence

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.counted import PRIMARY
from gfi.store.queries.fetching import fetch
from gfi.store.tables import flags, results


def flags_of(db: Database, job_id: str, rows: Sequence[int]) -> dict[int, JSON]:
    """The flags of these images, by row: flag, note, owner, at."""
    if not rows:
        return {}
    query = sa.select(flags).where(flags.c.job_id == job_id, flags.c.row.in_(sorted(set(rows))))
    names = ("flag", "note", "owner", "at")
    return {row["row"]: {name: row[name] for name in names} for row in fetch(db, query)}


def count_flags(db: Database, job_id: str) -> dict[str, int]:
    """How many images of a job have each flag, the most first."""
    images = sa.func.count()
    query = sa.select(flags.c.flag, images.label("images")).where(flags.c.job_id == job_id)
    return {
        r["flag"]: r["images"]
        for r in fetch(db, query.group_by(flags.c.flag).order_by(images.desc(), flags.c.flag))
    }


def list_flags(db: Database, job_id: str) -> list[JSON]:
    """Flagged images of a job with their notes and keys, by row."""
    query = (
        sa.select(flags, results.c.key)
        .outerjoin(
            results, sa.and_(results.c.job_id == flags.c.job_id, results.c.row == flags.c.row, PRIMARY)
        )
        .where(flags.c.job_id == job_id)
        .order_by(flags.c.row)
    )
    return fetch(db, query)

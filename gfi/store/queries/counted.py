"""Which results of a job are counted: one for each image, or one for each of its labels."""

import sqlalchemy as sa

from gfi.domain.job import LABELS
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.store.database import Database
from gfi.store.tables import jobs, results

PRIMARY = sa.and_(results.c.method == PRIMARY_METHOD, results.c.target_rank == 0)
"""The results by which images are counted."""


def counted(db: Database, job_id: str) -> sa.ColumnElement[bool]:
    """The condition that a result is counted: PRIMARY, or in a job with the target `labels` that of each label."""
    with db.read() as connection:
        config = connection.execute(sa.select(jobs.c.config).where(jobs.c.id == job_id)).scalar() or {}
    return results.c.method == PRIMARY_METHOD if config.get("target") == LABELS else PRIMARY

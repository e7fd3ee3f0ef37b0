"""Control tasks."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import control_tasks


def control_of(db: Database, job_id: str) -> list[JSON]:
    """Control tasks of a job, oldest first."""
    query = sa.select(control_tasks).where(control_tasks.c.job_id == job_id)
    return fetch(db, query.order_by(control_tasks.c.id))

"""The audit log."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import audit


def list_audit(
    db: Database,
    *,
    job_id: str | None = None,
    action: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[JSON]:
    """Entries of the audit log, newest first. `after`: the id of the last entry of the page before."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if job_id is not None:
        query = query.where(audit.c.job_id == job_id)
    if action is not None:
        query = query.where(audit.c.action == action)
    if after is not None:
        query = query.where(audit.c.id < after)
    return fetch(db, query)

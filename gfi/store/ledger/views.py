"""Saved views: queries of a job's results under a name."""

from typing import Any

import sqlalchemy as sa

from gfi.store.database import Database, now, upsert
from gfi.store.errors import LimitExceeded
from gfi.store.ledger.guards import lock_job
from gfi.store.tables import saved_views

MOST = 200
"""Views of one job."""


def save_view(db: Database, job_id: str, name: str, query: str, owner: str, *, of_anyone: bool) -> str | None:
    """Save a query under a name; a view of this name is replaced.

    Unless `of_anyone`, a view that somebody other than `owner` saved is not changed. Returns the name of that owner
    then, and None otherwise. Raises LimitExceeded when the job has MOST views.
    """
    mine = sa.and_(saved_views.c.job_id == job_id, saved_views.c.name == name)
    owners = sa.select(saved_views.c.owner).where(mine)
    with db.begin() as connection:
        lock_job(connection, job_id)
        other: str | None = connection.execute(owners).scalar()
        if other is not None and other != owner and not of_anyone:
            return other
        count = sa.select(sa.func.count()).select_from(saved_views).where(saved_views.c.job_id == job_id)
        if other is None and connection.execute(count).scalar_one() >= MOST:
            raise LimitExceeded(f"job {job_id} has {MOST} saved views, which is the most; delete some first")
        values: dict[str, Any] = {"job_id": job_id, "name": name, "query": query, "owner": owner}
        values["at"] = connection.execute(sa.select(now())).scalar_one()
        upsert(connection, saved_views, [values], ("job_id", "name"))
    return None


def delete_view(db: Database, job_id: str, name: str, owner: str, *, of_anyone: bool) -> str | None:
    """Delete a view, if there is one. Returns the owner of a view that the caller may not delete, and None
    otherwise."""
    mine = sa.and_(saved_views.c.job_id == job_id, saved_views.c.name == name)
    owners = sa.select(saved_views.c.owner).where(mine)
    with db.begin() as connection:
        other: str | None = connection.execute(owners).scalar()
        if other is not None and other != owner and not of_anyone:
            return other
        connection.execute(sa.delete(saved_views).where(mine))
    return None

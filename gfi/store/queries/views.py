"""Saved views: queries of a job's results under a name."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.queries.fetching import fetch
from gfi.store.tables import saved_views

_COLUMNS = [saved_views.c[name] for name in ("name", "query", "owner", "at")]


def list_views(db: Database, job_id: str) -> list[JSON]:
    """The saved views of a job by name: name, query, owner, at; at most a thousand."""
    query = sa.select(*_COLUMNS).where(saved_views.c.job_id == job_id).order_by(saved_views.c.name)
    return fetch(db, query.limit(1000))


def find_view(db: Database, job_id: str, name: str) -> JSON:
    """One view. Raises NotFound with the names that there are."""
    query = sa.select(*_COLUMNS).where(saved_views.c.job_id == job_id, saved_views.c.name == name)
    rows = fetch(db, query)
    if not rows:
        known = ", ".join(view["name"] for view in list_views(db, job_id)[:20])
        raise NotFound(
            f"job {job_id} has no view {name[:100]!r}; " + (f"it has {known}" if known else "it has none")
        )
    return rows[0]

"""What a job is frozen to."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.ledger.audit import record
from gfi.store.ledger.guards import lock_job
from gfi.store.tables import jobs


def freeze_profile(db: Database, job_id: str, profile: Mapping[str, Any], device_kind: str) -> JSON:
    """The job's execution profile: the first worker's, whoever that is. Later callers get that one back
    and run under it or let go; `claim_shard` keeps workers of another device kind away.
    """
    with db.begin() as connection:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.profile.is_(None))
            .values(profile=dict(profile), device_kind=device_kind)
        )
        frozen = connection.execute(sa.select(jobs.c.profile).where(jobs.c.id == job_id)).scalar()
    if frozen is None:
        raise NotFound(f"no job {job_id}; `gfi jobs` lists them")
    return frozen


def replace_profile(db: Database, job_id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> JSON:
    """Exchange `old` for `new` (out of memory: a smaller batch is a new profile), noted in the audit.

    Returns the profile in force: another worker may have been first.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.profile != dict(old):
            return job.profile
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(profile=dict(new)))
        record(connection, "worker", "job.profile", job_id, {"old": dict(old), "new": dict(new)})
        return dict(new)


def freeze_model(db: Database, job_id: str, model: Mapping[str, Any]) -> JSON:
    """The job's model record: the one it was submitted with, else the first worker's."""
    with db.begin() as connection:
        connection.execute(
            sa.update(jobs).where(jobs.c.id == job_id, jobs.c.model.is_(None)).values(model=dict(model))
        )
        frozen = connection.execute(sa.select(jobs.c.model).where(jobs.c.id == job_id)).scalar()
    if frozen is None:
        raise NotFound(f"no job {job_id}; `gfi jobs` lists them")
    return frozen

"""The execution profile of a job: frozen by the first worker, the same for all others."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.records import ShardClaim
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.lease import LeaseLost
from gfi.store.ledger.audit import record
from gfi.store.ledger.guards import lock_job
from gfi.store.ledger.leases import is_held
from gfi.store.tables import jobs, shards


def freeze_profile(
    db: Database,
    job_id: str,
    profile: Mapping[str, Any],
    device_kind: str,
    claim: ShardClaim | None = None,
) -> JSON:
    """Freeze the execution profile of a job unless it is frozen. Returns the profile in force.

    A worker runs with that profile or releases its shard; `claim_shard` gives the job only to workers with
    the same kind of device. claim: of the worker; raises LeaseLost where it is no longer held. Otherwise a worker that
    was suspended would bind the job to its device, on which nobody works any more.
    """
    with db.begin() as connection:
        _check_held(connection, claim)
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.profile.is_(None))
            .values(profile=dict(profile), device_kind=device_kind)
        )
        frozen = connection.execute(sa.select(jobs.c.profile).where(jobs.c.id == job_id)).scalar()
    if frozen is None:
        raise NotFound(f"no job {job_id}; `gfi jobs` lists them")
    return frozen


def replace_profile(
    db: Database,
    job_id: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    claim: ShardClaim | None = None,
) -> JSON:
    """Replace the profile `old` by `new`, and record it in the audit log: a smaller batch is another profile.

    Returns the profile in force, which differs from `new` where another worker was first. claim: as `freeze_profile`.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        _check_held(connection, claim)
        if job.profile != dict(old):
            return job.profile
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(profile=dict(new)))
        record(connection, "worker", "job.profile", job_id, {"old": dict(old), "new": dict(new)})
        return dict(new)


def _check_held(connection: sa.Connection, claim: ShardClaim | None) -> None:
    if (
        claim is not None
        and connection.execute(sa.select(shards.c.id).where(is_held(claim))).scalar() is None
    ):
        raise LeaseLost(f"shard {claim.shard_id}: fence {claim.fence} was overtaken")

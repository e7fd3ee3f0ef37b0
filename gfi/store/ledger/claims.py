"""Claiming a shard, or a task that needs a network: priority first, then fairness between jobs and owners of tasks.

pending → leased
"""

import time
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import ControlClaim, ShardClaim
from gfi.domain.states import JobState, ShardState
from gfi.store import tracing
from gfi.store.database import Database, now
from gfi.store.ledger.guards import has_shard, shard_transition
from gfi.store.ledger.task_claims import CANDIDATES, Candidate, Wanted, take_task, task_candidates
from gfi.store.tables import control_tasks, in_state, jobs, shards

FROZEN = ("config", "model", "profile", "manifest_key", "manifest_digest")
"""Columns of a job that a claim of its shard has."""


def claim_shard(
    db: Database,
    worker: str,
    queue: str,
    lease_s: float,
    prefer: str | None = None,
    device_kind: str | None = None,
) -> ShardClaim | None:
    """pending → leased under a new fence, for `lease_s` seconds. Returns None when there is no shard to claim.

    The order: highest priority, then the job with the fewest leased shards, then the job whose last commit is longest
    ago, then the oldest job, then the first shard. So a small job that was submitted after one of ten million images
    starts as soon as any worker is free. `prefer` (the shard that a message named) only breaks ties. Jobs whose profile
    is frozen to another kind of device than `device_kind` are left out.
    """
    claim = claim_work(db, worker, queue, lease_s, prefer, device_kind, kinds=())
    assert not isinstance(claim, ControlClaim)
    return claim


def claim_work(
    db: Database,
    worker: str,
    queue: str,
    lease_s: float,
    prefer: str | None = None,
    device_kind: str | None = None,
    *,
    kinds: Collection[str],
) -> ShardClaim | ControlClaim | None:
    """A shard as from `claim_shard`, or a task of one of `kinds`; whichever comes first.

    In the order, the tasks of one owner count as one job.
    """
    began_ns = time.time_ns()
    claim = _claim(db, worker, queue, lease_s, prefer, device_kind, Wanted(queue, kinds))
    if claim is not None:
        tracing.ended("claim", claim.job_id, began_ns, queue=queue, worker=worker, fence=claim.fence)
    return claim


def _claim(
    db: Database,
    worker: str,
    queue: str,
    lease_s: float,
    prefer: str | None,
    device_kind: str | None,
    wanted: Wanted,
) -> ShardClaim | ControlClaim | None:
    with db.begin() as connection:
        prefer_job = None
        if prefer is not None:
            named = sa.select(shards.c.job_id).where(shards.c.id == prefer)
            prefer_job = connection.execute(named).scalar()
        candidates = _candidate_jobs(connection, queue, prefer_job, device_kind)
        if wanted.kinds:
            candidates += task_candidates(connection, wanted, prefer)
        for candidate in sorted(candidates, key=Candidate.order):
            if candidate.is_task:
                task = take_task(connection, candidate.id, wanted, worker, lease_s, prefer)
                if task is None:
                    continue
                if prefer not in (None, task.task_id):
                    _unpublish(connection, prefer)
                return task
            job_id = candidate.id
            mine = prefer if job_id == prefer_job else None
            row = _take(connection, job_id, mine, worker, lease_s)
            if row is None:
                continue  # other workers have locked every shard of this job that was left
            if prefer is not None and row.id != prefer and row.published_at is None:
                # Otherwise the waiting message of the claimed shard will later be used for the preferred one.
                _unpublish(connection, prefer)
            return _shard_claim(row, worker)
        if prefer is not None:
            _unpublish(connection, prefer)  # it may be reserved for another kind of device
    return None


def _shard_claim(row: sa.Row[Any], worker: str) -> ShardClaim:
    return ShardClaim(
        job_id=row.job_id,
        shard_id=row.id,
        start=row.start,
        stop=row.stop,
        manifest_key=row.manifest_key,
        fence=row.fence,
        worker=worker,
        isolated=row.alone,
        quarantined=row.convicted,
        generation=row.generation,
        stored_config=row.job_config,
        model=row.job_model,
        profile=row.job_profile,
        manifest_digest=row.job_manifest_digest if row.manifest_key == row.job_manifest_key else None,
        unexplained=row.unexplained,
    )


def _unpublish(connection: sa.Connection, waiting_id: str | None) -> None:
    """Record that Redis no longer has a message for a waiting shard or task: its message led to another claim or to
    none."""
    for table in (shards, control_tasks):
        connection.execute(
            sa.update(table)
            .where(table.c.id == waiting_id, in_state(table, ShardState.PENDING))
            .values(published_at=None)
        )


def _candidate_jobs(
    connection: sa.Connection, queue: str, prefer_job: str | None, device_kind: str | None
) -> list[Candidate]:
    """The first few jobs with a claimable shard, in the order of claims."""
    held = (
        sa.select(sa.func.count())
        .where(shards.c.job_id == jobs.c.id, in_state(shards, ShardState.LEASED))
        .scalar_subquery()
    )
    # Of several jobs with the same number of leased shards, the one without a commit, or with the oldest last commit,
    # is first. Otherwise a single worker, which holds no shard when it claims, would always choose the big job whose
    # messages fill the queue. (A claim cannot be recorded in the job's row: the commits of all workers share a lock on
    # it.)
    served = sa.select(sa.func.max(shards.c.done_at)).where(shards.c.job_id == jobs.c.id).scalar_subquery()
    claimable = has_shard(ShardState.PENDING, shards.c.not_before <= now())
    preferred = jobs.c.id == (prefer_job or "")
    query = (
        sa.select(jobs.c.id, jobs.c.priority, held, served, preferred, jobs.c.created_at)
        .where(in_state(jobs, JobState.RUNNING), ~jobs.c.paused, jobs.c.queue == queue, claimable)
        .order_by(jobs.c.priority.desc(), held, served.nulls_first(), preferred.desc(), jobs.c.created_at)
        .limit(CANDIDATES)
    )
    if device_kind is not None:
        query = query.where(sa.or_(jobs.c.device_kind.is_(None), jobs.c.device_kind == device_kind))
    return [
        Candidate(job_id, False, priority, int(leases), last, bool(named), created)
        for job_id, priority, leases, last, named, created in connection.execute(query)
    ]


def _take(
    connection: sa.Connection, job_id: str, prefer: str | None, worker: str, lease_s: float
) -> sa.Row[Any] | None:
    """Lease the preferred shard of a job, else its first one, and return it with what the job has frozen, as `job_…`.

    None when all are locked by others. One statement: of a claim's time, most are its round trips.
    """
    frozen = [
        sa.select(jobs.c[name]).where(jobs.c.id == shards.c.job_id).scalar_subquery().label(f"job_{name}")
        for name in FROZEN
    ]
    waiting = sa.and_(
        shards.c.job_id == job_id,
        shard_transition(shards, ShardState.PENDING, ShardState.LEASED),
        shards.c.not_before <= now(),
    )
    first = sa.select(shards.c.id).where(waiting).order_by(shards.c.start).limit(1)
    choices = (
        [first] if prefer is None else [sa.select(shards.c.id).where(waiting, shards.c.id == prefer), first]
    )
    for choice in choices:
        row = connection.execute(
            sa.update(shards)
            .where(shards.c.id == choice.with_for_update(skip_locked=True).scalar_subquery())
            .values(
                state=ShardState.LEASED.value,
                fence=shards.c.fence + 1,
                claim_fence=shards.c.fence + 1,
                worker=worker,
                leased_at=now(),
                renewed_at=now(),
                lease_until=now() + lease_s,
                step=None,
                finished=0,
                in_flight=None,
            )
            .returning(shards, *frozen)
        ).one_or_none()
        if row is not None:
            return row
    return None

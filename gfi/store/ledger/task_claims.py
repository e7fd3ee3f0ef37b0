"""Claiming a task, and which one: priority first, then fairness between owners.

pending → leased
"""

import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from gfi.domain.queues import CONTROL_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind, JobState, ShardState
from gfi.domain.tasks import INTERACTIVE, long_kinds
from gfi.store import tracing
from gfi.store.database import Database, now
from gfi.store.ledger.guards import job_transition, lock_job, shard_transition
from gfi.store.tables import control_tasks, in_state, jobs

CANDIDATES = 8


class Candidate(NamedTuple):
    """A candidate for the next claim: `id` is a job with shards, or an owner with tasks. held: its leases in this
    queue.

    served: when it was served last, None for never. preferred: a message named one of its shards or tasks.
    """

    id: str
    is_task: bool
    priority: int
    held: int
    served: float | None
    preferred: bool
    created_at: float

    def order(self) -> tuple[float, ...]:
        """The smallest key is claimed first: the highest priority, then the fewest leases, then the longest wait."""
        served = -1.0 if self.served is None else self.served
        return (-self.priority, self.held, served, not self.preferred, self.created_at)


class Wanted(NamedTuple):
    """The tasks that a worker can take.

    kinds: None for all. short: only tasks that do not take minutes, or that somebody waits for. sated: owners whose
    long tasks are not taken.
    """

    queue: str = CONTROL_QUEUE
    kinds: Collection[str] | None = None
    short: bool = False
    sated: Collection[str] = ()

    def waiting(self) -> sa.ColumnElement[bool]:
        """The condition that a task can be claimed."""
        brief = sa.or_(control_tasks.c.kind.not_in(long_kinds()), control_tasks.c.priority >= INTERACTIVE)
        paused = sa.exists().where(jobs.c.id == control_tasks.c.job_id, jobs.c.paused)
        conditions = [
            in_state(control_tasks, ShardState.PENDING),
            control_tasks.c.not_before <= now(),
            control_tasks.c.queue == self.queue,
            sa.or_(control_tasks.c.needs == "none", ~paused),
        ]
        if self.kinds is not None:
            conditions.append(control_tasks.c.kind.in_(sorted(self.kinds)))
        if self.short:
            conditions.append(brief)
        if self.sated:
            conditions.append(sa.or_(brief, control_tasks.c.owner.not_in(sorted(self.sated))))
        return sa.and_(*conditions)


def claim_control(
    db: Database, worker: str, lease_s: float, prefer: str | None = None, wanted: Wanted | None = None
) -> ControlClaim | None:
    """pending → leased under a new fence; a `plan` moves its job queued → planning.

    The order: highest priority, then the owner with the fewest leased tasks of the queue, then the owner who was served
    longest ago, then the oldest. `prefer` (the task that a message named) only breaks ties. Returns None when there is
    no task to claim.
    """
    wanted, began_ns = wanted or Wanted(), time.time_ns()
    claim: ControlClaim | None = None
    with db.begin() as connection:
        for candidate in task_candidates(connection, wanted, prefer):
            if (claim := take_task(connection, candidate.id, wanted, worker, lease_s, prefer)) is not None:
                break
    if claim is not None:
        tracing.ended("claim", claim.job_id, began_ns, queue=wanted.queue, worker=worker, fence=claim.fence)
    return claim


def task_candidates(connection: sa.Connection, wanted: Wanted, prefer: str | None) -> list[Candidate]:
    """The first few owners with a claimable task, in the order of claims."""
    other = control_tasks.alias("other")
    same = sa.and_(other.c.owner == control_tasks.c.owner, other.c.queue == wanted.queue)
    held = sa.select(sa.func.count()).where(same, other.c.state == ShardState.LEASED.value).scalar_subquery()
    served = sa.select(sa.func.max(other.c.leased_at)).where(same).scalar_subquery()
    priority = sa.func.max(control_tasks.c.priority)
    mine = sa.case((control_tasks.c.id == (prefer or ""), 1), else_=0)
    oldest = sa.func.min(control_tasks.c.created_at)
    query = (
        sa.select(control_tasks.c.owner, priority, held, served, sa.func.max(mine), oldest)
        .where(wanted.waiting())
        .group_by(control_tasks.c.owner)
        .order_by(priority.desc(), held, served.nulls_first(), sa.func.max(mine).desc(), oldest)
        .limit(CANDIDATES)
    )
    return [
        Candidate(owner, True, int(highest), int(leases), last, bool(named), created)
        for owner, highest, leases, last, named, created in connection.execute(query)
    ]


def take_task(
    connection: sa.Connection,
    owner: str,
    wanted: Wanted,
    worker: str,
    lease_s: float,
    prefer: str | None,
) -> ControlClaim | None:
    """Lease the first task of an owner; None when other workers were faster with every one of them."""
    first = (
        sa.select(control_tasks.c.id, control_tasks.c.job_id)
        .where(wanted.waiting(), control_tasks.c.owner == owner)
        .order_by(
            control_tasks.c.priority.desc(),
            (control_tasks.c.id == (prefer or "")).desc(),
            control_tasks.c.created_at,
        )
        .limit(1)
    )
    while (candidate := connection.execute(first).one_or_none()) is not None:
        claim = _claim(connection, candidate.id, candidate.job_id, worker, lease_s)
        if claim is not None:
            return claim  # if another worker was faster, the next task is tried
    return None


def _claim(
    connection: sa.Connection, task_id: str, job_id: str | None, worker: str, lease_s: float
) -> ControlClaim | None:
    job = lock_job(connection, job_id) if job_id is not None else None
    task = connection.execute(
        sa.update(control_tasks)
        .where(
            control_tasks.c.id == task_id,
            shard_transition(control_tasks, ShardState.PENDING, ShardState.LEASED),
        )
        .values(
            state=ShardState.LEASED.value,
            fence=control_tasks.c.fence + 1,
            claim_fence=control_tasks.c.fence + 1,
            attempts=control_tasks.c.attempts + 1,
            worker=worker,
            leased_at=now(),
            renewed_at=now(),
            lease_until=now() + lease_s,
        )
        .returning(control_tasks)
    ).one_or_none()
    if task is None:
        return None
    if task.kind == ControlKind.PLAN:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_transition(JobState.QUEUED, JobState.PLANNING))
            .values(state=JobState.PLANNING.value)
        )
    return claim_of(task, job)


def claim_of(task: sa.Row[Any], job: sa.Row[Any] | None) -> ControlClaim:
    """The claim of a task that was just leased."""
    known: Sequence[str] = list(ControlKind)
    return ControlClaim(
        task_id=task.id,
        kind=ControlKind(task.kind) if task.kind in known else task.kind,
        job_id=task.job_id,
        payload=task.payload or {},
        fence=task.fence,
        worker=task.worker,
        attempt=task.attempts,
        owner=task.owner,
        priority=task.priority,
        progress=task.progress,
        stored_config=job.config if job else None,
        model=job.model if job else None,
        generation=job.generation if job else 0,
    )

"""The lease of a control task: planning, collecting the rows of a retry, reports, lists of parts, sweeps.

    pending → leased → done | failed | cancelled

Control tasks are leased and fenced like shards, so that any number of control workers may run and die. A task that
fails with a reason is attempted `ATTEMPTS` times. Deaths of its workers are counted separately, since most of them have
other causes, and the pause between attempts doubles. A task fails after `DEATHS` deaths, and only if other tasks do not
meet as many (`gfi.store.ledger.death_rate`). When a `plan` fails, its job fails with the reason; when a `retry` fails,
its job returns to the state before; when another task fails, nothing else changes.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import ControlClaim
from gfi.domain.states import OPEN, TERMINAL, ControlKind, JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.ledger import death_rate
from gfi.store.ledger.endings import end_planning
from gfi.store.ledger.guards import job_transition, lock_job, shard_transition
from gfi.store.tables import control_tasks, in_state, jobs

ATTEMPTS = 5
DEATHS = 9
"""The fewest. They are more than those of an image, since such a death costs a restart and no batch on a GPU."""
LONGEST_PAUSE_S = 300.0


def claim_control(
    db: Database, worker: str, lease_s: float, prefer: str | None = None
) -> ControlClaim | None:
    """pending → leased, the preferred task or the oldest; a `plan` moves its job queued → planning.

    Returns None when no task is claimable.
    """
    waiting = (
        sa.select(control_tasks.c.id, control_tasks.c.job_id)
        .where(in_state(control_tasks, ShardState.PENDING), control_tasks.c.not_before <= now())
        .order_by((control_tasks.c.id == (prefer or "")).desc(), control_tasks.c.created_at)
        .limit(1)
    )
    while True:
        with db.begin() as connection:
            candidate = connection.execute(waiting).one_or_none()
            if candidate is None:
                return None
            if (claim := _claim(connection, candidate.id, candidate.job_id, worker, lease_s)) is not None:
                return claim  # otherwise another worker was faster, and the next task is tried


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
    return ControlClaim(
        task_id=task.id,
        kind=ControlKind(task.kind),
        job_id=task.job_id,
        payload=task.payload or {},
        fence=task.fence,
        worker=worker,
        attempt=task.attempts,
        stored_config=job.config if job else None,
        model=job.model if job else None,
        generation=job.generation if job else 0,
    )


def renew_control(db: Database, claim: ControlClaim, lease_s: float) -> bool:
    """leased → leased, for `lease_s` more. Returns False when the lease is lost or the task was cancelled."""
    with db.begin() as connection:
        changed = connection.execute(
            sa.update(control_tasks).where(_held(claim)).values(renewed_at=now(), lease_until=now() + lease_s)
        )
        return bool(changed.rowcount)


def finish_control(db: Database, claim: ControlClaim, result: Mapping[str, Any] | None = None) -> bool:
    """leased → done, for any task but a `plan` and a `retry`.

    Returns False when the lease is lost, and True again on repetition.
    """
    with db.begin() as connection:
        return finish_task(connection, claim, dict(result or {}))


def release_control(db: Database, claim: ControlClaim, reason: str = "stopped") -> bool:
    """leased → pending, by a worker that is told to stop; the attempt is not counted.

    Returns False when the lease is lost. In that case a death was counted although the worker is alive, and it is taken
    back.
    """
    with db.begin() as connection:
        changed = connection.execute(
            sa.update(control_tasks)
            .where(_held(claim), shard_transition(control_tasks, ShardState.LEASED, ShardState.PENDING))
            .values(
                state=ShardState.PENDING.value,
                attempts=control_tasks.c.attempts - 1,
                reason=reason,
                published_at=None,
            )
        )
        if not changed.rowcount:
            connection.execute(
                sa.update(control_tasks)
                .where(
                    control_tasks.c.id == claim.task_id,
                    control_tasks.c.state.in_(OPEN),
                    control_tasks.c.deaths > 0,
                )
                .values(deaths=control_tasks.c.deaths - 1)
            )
        return bool(changed.rowcount)


def fail_control(
    db: Database,
    claim: ControlClaim,
    error: str,
    *,
    retry: bool = True,
    delay_s: float | None = None,
    failure_class: str | None = None,
) -> bool:
    """leased → pending for another attempt after a pause, by default one that doubles; → failed after the last one.

    retry: False for an error that another attempt would meet again (no such directory): → failed at once. Returns False
    when the lease is lost.
    """
    with db.begin() as connection:
        if claim.job_id is not None:
            lock_job(connection, claim.job_id)
        task = connection.execute(
            sa.select(control_tasks).where(_held(claim)).with_for_update()
        ).one_or_none()
        if task is None:
            return False
        delay = min(LONGEST_PAUSE_S, 2.0**task.attempts) if delay_s is None else delay_s
        again = retry and task.attempts < ATTEMPTS
        _give_back(connection, task, error, failure_class, again=again, delay_s=delay)
        return True


def expire_control(db: Database) -> list[str]:
    """leased → pending (→ failed, see `DEATHS`), every control task whose lease ran out. Returns their ids.

    A task is claimable at once after the first death, later after a pause that doubles, in which the cause may end.
    """
    overdue = sa.and_(in_state(control_tasks, ShardState.LEASED), control_tasks.c.lease_until < now())
    with db.read() as connection:
        candidates = connection.execute(sa.select(control_tasks).where(overdue)).all()
    expired = []
    for task in candidates:
        with db.begin() as connection:
            if task.job_id is not None:
                lock_job(connection, task.job_id)
            still = connection.execute(
                sa.select(control_tasks)
                .where(control_tasks.c.id == task.id, control_tasks.c.fence == task.fence, overdue)
                .with_for_update()
            ).one_or_none()
            if still is not None:
                deaths = still.deaths + 1
                reason = f"worker {still.worker} stopped renewing its lease"
                given_up = deaths >= DEATHS and death_rate.stand_out(
                    deaths, *_other_attempts(connection, still)
                )
                if given_up:
                    reason = f"{deaths} workers died over it; the last: {reason}"
                delay = 0.0 if deaths == 1 else min(LONGEST_PAUSE_S, 2.0 ** (deaths - 2))
                connection.execute(
                    sa.update(control_tasks)
                    .where(control_tasks.c.id == still.id)
                    .values(deaths=deaths, attempts=control_tasks.c.attempts - 1)
                )
                _give_back(connection, still, reason, "worker", again=not given_up, delay_s=delay)
                expired.append(still.id)
    return expired


def _other_attempts(connection: sa.Connection, task: sa.Row[Any]) -> tuple[int, int]:
    """(deaths, successes) over other control tasks since this one was requested."""
    others = sa.and_(control_tasks.c.id != task.id, control_tasks.c.renewed_at >= task.created_at)
    done = sa.case((in_state(control_tasks, ShardState.DONE), 1), else_=0)
    sums = sa.select(sa.func.sum(control_tasks.c.deaths), sa.func.sum(done)).where(others)
    deaths, successes = connection.execute(sums).one()
    return int(deaths or 0), int(successes or 0)


def _held(claim: ControlClaim) -> sa.ColumnElement[bool]:
    return sa.and_(
        control_tasks.c.id == claim.task_id,
        control_tasks.c.fence == claim.fence,
        in_state(control_tasks, ShardState.LEASED),
    )


def finish_task(connection: sa.Connection, claim: ControlClaim, result: dict[str, Any]) -> bool:
    changed = connection.execute(
        sa.update(control_tasks)
        .where(_held(claim), shard_transition(control_tasks, ShardState.LEASED, ShardState.DONE))
        .values(state=ShardState.DONE.value, result=result, done_at=now(), reason=None, failure_class=None)
    )
    if changed.rowcount:
        return True
    mine = sa.select(control_tasks.c.id).where(
        control_tasks.c.id == claim.task_id,
        control_tasks.c.fence == claim.fence,
        in_state(control_tasks, ShardState.DONE),
    )
    return connection.execute(mine).scalar() is not None


def _give_back(
    connection: sa.Connection,
    task: sa.Row[Any],
    error: str,
    failure_class: str | None,
    *,
    again: bool,
    delay_s: float,
) -> None:
    after = ShardState.PENDING if again else ShardState.FAILED
    connection.execute(
        sa.update(control_tasks)
        .where(control_tasks.c.id == task.id, shard_transition(control_tasks, ShardState.LEASED, after))
        .values(
            state=after.value,
            reason=error,
            failure_class=failure_class,
            not_before=now() + delay_s,
            published_at=None,
        )
    )
    if not again and task.job_id is not None and task.kind in (ControlKind.PLAN, ControlKind.RETRY):
        job = connection.execute(sa.select(jobs).where(jobs.c.id == task.job_id)).one()
        returns = task.kind == ControlKind.RETRY and job.state_before in TERMINAL
        after_job = JobState(job.state_before) if returns else JobState.FAILED
        what = "the retry could not be planned" if returns else "planning failed"
        if job.state == JobState.PLANNING:
            end_planning(connection, task.job_id, after_job, f"{what}: {error}")

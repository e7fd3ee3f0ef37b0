"""The lease of a task: renewed, finished, released, failed, expired.

    leased → leased | done | pending | failed

Tasks are leased and fenced like shards, so that any number of workers may run and die. A task that fails with a reason
is attempted `ATTEMPTS` times, during an outage `OUTAGE_ATTEMPTS` times. Deaths of its workers are counted separately,
since most of them have other causes, and the pause between attempts grows. A task fails after `DEATHS` deaths, and only
if other work does not meet as many (`gfi.store.ledger.death_rate`). When a `plan` fails, its job fails with the reason;
when a `retry` fails, its job returns to the state before; when an import fails, its job is cancelled; when another task
fails, nothing else changes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.pauses import doubled
from gfi.domain.records import ControlClaim, LeaseAnswer
from gfi.domain.states import OPEN, TERMINAL, ControlKind, JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.ledger import death_rate
from gfi.store.ledger.endings import end_planning
from gfi.store.ledger.guards import held, lock_job, shard_transition
from gfi.store.ledger.jobs import end_import_in
from gfi.store.others_go_on import others_go_on
from gfi.store.tables import control_tasks, in_state, incidents, jobs, shards

ATTEMPTS = 5
OUTAGE_ATTEMPTS = 30
"""While the bucket or the database is away or a disk is full: with the pauses, about two hours, as for a shard."""
DEATHS = 9
"""The fewest deaths after which a task without a network can fail: such a death costs a restart, but no batch on a GPU.
For tasks that need a network the limit is that of an image."""
LONGEST_PAUSE_S = 300.0
Write = Callable[[sa.Connection], None]
"""Writes the results of a task in the transaction of its commit."""


def renew_control(
    db: Database, claim: ControlClaim, lease_s: float, progress: Mapping[str, Any] | None = None
) -> LeaseAnswer:
    """leased → leased, for `lease_s` more. progress: shown to users and used to resume; None leaves it unchanged.

    Not held when the lease is lost or the task was cancelled. A task that needs a network pauses with its job.
    """
    with db.begin() as connection:
        values: dict[str, Any] = {"renewed_at": now(), "lease_until": now() + lease_s}
        if progress is not None:
            values["progress"] = dict(progress)
        row = connection.execute(
            sa.update(control_tasks)
            .where(_held(claim))
            .values(**values)
            .returning(control_tasks.c.needs, control_tasks.c.job_id)
        ).one_or_none()
        if row is None:
            return LeaseAnswer(False, "cancel")
        paused = False
        if row.needs != "none" and row.job_id is not None:
            paused = bool(
                connection.execute(sa.select(jobs.c.paused).where(jobs.c.id == row.job_id)).scalar()
            )
        return LeaseAnswer(True, "pause" if paused else "continue")


def save_control(db: Database, claim: ControlClaim, progress: Mapping[str, Any], write: Write) -> bool:
    """leased → leased: saves what `write` writes, and the progress, in one transaction under the fence.

    The next attempt begins with this progress, and attempts and deaths are counted from it on. Returns False, and
    writes nothing, when the lease is lost.
    """
    with db.begin() as connection:
        if claim.job_id is not None:
            lock_job(connection, claim.job_id, shared=True)
        changed = connection.execute(
            sa.update(control_tasks).where(_held(claim)).values(progress=dict(progress), attempts=1, deaths=0)
        )
        if changed.rowcount:
            write(connection)
        return bool(changed.rowcount)


def finish_control(
    db: Database,
    claim: ControlClaim,
    result: Mapping[str, Any] | None = None,
    write: Write | None = None,
) -> bool:
    """leased → done, with what `write` writes, in one transaction under the fence; not for a `plan` and a `retry`.

    Returns False, and writes nothing, when the lease is lost. A repeated call, whose first answer did not arrive,
    returns True and writes nothing.
    """
    with db.begin() as connection:
        if write is not None and claim.job_id is not None:
            lock_job(connection, claim.job_id, shared=True)
        first = _finish(connection, claim, dict(result or {}))
        if first and write is not None:
            write(connection)
        return first or _was_finished(connection, claim)


def release_control(db: Database, claim: ControlClaim, reason: str = "stopped") -> bool:
    """leased → pending, by a worker that is told to stop; the attempt is not counted.

    Returns False when the lease is lost. In that case a death was counted although the worker is alive; the death is
    retracted.
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
            _retract_death(connection, claim)
        return bool(changed.rowcount)


def _retract_death(connection: sa.Connection, claim: ControlClaim) -> None:
    """The worker of this claim is alive: of a lease that ran out, a death was counted."""
    connection.execute(
        sa.update(control_tasks)
        .where(
            control_tasks.c.id == claim.task_id,
            control_tasks.c.state.in_(OPEN),
            control_tasks.c.deaths > 0,
        )
        .values(deaths=control_tasks.c.deaths - 1)
    )


def fail_control(
    db: Database,
    claim: ControlClaim,
    error: str,
    *,
    retry: bool = True,
    outage: bool = False,
    delay_s: float | None = None,
    failure_class: str | None = None,
) -> bool:
    """leased → pending for another attempt after a pause, by default one that doubles; → failed after the last one.

    retry: False for an error that would occur again (no such directory): → failed at once. outage: the bucket or the
    database is away, or a disk is full: `OUTAGE_ATTEMPTS` instead of `ATTEMPTS`. Returns False when the lease is lost,
    and retracts the death as `release_control` does.
    """
    with db.begin() as connection:
        if claim.job_id is not None:
            lock_job(connection, claim.job_id)
        task = connection.execute(
            sa.select(control_tasks).where(_held(claim)).with_for_update()
        ).one_or_none()
        if task is None:
            _retract_death(connection, claim)
            return False
        delay = doubled(1.0, task.attempts, LONGEST_PAUSE_S) if delay_s is None else delay_s
        again = retry and task.attempts < (OUTAGE_ATTEMPTS if outage else ATTEMPTS)
        _give_back(connection, task, error, failure_class, again=again, delay_s=delay)
        return True


def expire_control(db: Database) -> list[str]:
    """leased → pending (→ failed, see `DEATHS`), every control task whose lease ran out. Returns their ids.

    A task is claimable at once after the first death; after further deaths it waits for a pause that doubles, so that
    the cause may pass.
    """
    overdue = sa.and_(in_state(control_tasks, ShardState.LEASED), control_tasks.c.lease_until < now())
    with db.read() as connection:
        candidates = connection.execute(sa.select(control_tasks).where(overdue)).all()
    expired = []
    for task in candidates:
        with others_go_on("lease of a task not expired", task=task.id), db.begin() as connection:
            if _expire(connection, task, overdue):
                expired.append(task.id)
    return expired


def _expire(connection: sa.Connection, task: sa.Row[Any], overdue: sa.ColumnElement[bool]) -> bool:
    """Returns False where it was renewed or returned since."""
    if task.job_id is not None:
        lock_job(connection, task.job_id)
    still = connection.execute(
        sa.select(control_tasks)
        .where(control_tasks.c.id == task.id, control_tasks.c.fence == task.fence, overdue)
        .with_for_update()
    ).one_or_none()
    if still is None:
        return False
    deaths = still.deaths + 1
    reason = f"worker {still.worker} stopped renewing its lease"
    fewest = DEATHS if still.needs == "none" else death_rate.FEWEST_DEATHS
    given_up = deaths >= fewest and death_rate.stand_out(deaths, *_other_attempts(connection, still))
    if given_up:
        reason = f"{deaths} workers died while they worked on it; the last: {reason}"
    delay = 0.0 if deaths == 1 else doubled(1.0, deaths - 2, LONGEST_PAUSE_S)
    connection.execute(
        sa.update(control_tasks)
        .where(control_tasks.c.id == still.id)
        .values(deaths=deaths, attempts=control_tasks.c.attempts - 1)
    )
    _give_back(connection, still, reason, "worker", again=not given_up, delay_s=delay)
    return True


def _other_attempts(connection: sa.Connection, task: sa.Row[Any]) -> tuple[int, int]:
    """(deaths, successes) on other work of the same kind of worker since this task was requested."""
    others = sa.and_(
        control_tasks.c.id != task.id,
        control_tasks.c.needs == task.needs,
        control_tasks.c.renewed_at >= task.created_at,
    )
    done = sa.case((in_state(control_tasks, ShardState.DONE), 1), else_=0)
    sums = sa.select(sa.func.sum(control_tasks.c.deaths), sa.func.sum(done)).where(others)
    deaths, successes = (int(number or 0) for number in connection.execute(sums).one())
    if task.needs != "none":
        of_shards = sa.select(sa.func.count()).where(
            incidents.c.kind == "death", ~incidents.c.absolved, incidents.c.at > task.created_at
        )
        committed = sa.select(sa.func.count()).where(
            in_state(shards, ShardState.DONE), shards.c.done_at > task.created_at
        )
        deaths += connection.execute(of_shards).scalar_one()
        successes += connection.execute(committed).scalar_one()
    return deaths, successes


def _held(claim: ControlClaim) -> sa.ColumnElement[bool]:
    return held(control_tasks, claim.task_id, claim.fence)


def finish_task(connection: sa.Connection, claim: ControlClaim, result: dict[str, Any]) -> bool:
    """leased → done within a transaction of the caller. Returns as `finish_control` does."""
    return _finish(connection, claim, result) or _was_finished(connection, claim)


def _finish(connection: sa.Connection, claim: ControlClaim, result: dict[str, Any]) -> bool:
    changed = connection.execute(
        sa.update(control_tasks)
        .where(_held(claim), shard_transition(control_tasks, ShardState.LEASED, ShardState.DONE))
        .values(state=ShardState.DONE.value, result=result, done_at=now(), reason=None, failure_class=None)
    )
    return bool(changed.rowcount)


def _was_finished(connection: sa.Connection, claim: ControlClaim) -> bool:
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
            done_at=None if again else now(),
        )
    )
    if not again:
        end_import_in(connection, task, "import")
    if not again and task.job_id is not None and task.kind in (ControlKind.PLAN, ControlKind.RETRY):
        job = connection.execute(sa.select(jobs).where(jobs.c.id == task.job_id)).one()
        returns = task.kind == ControlKind.RETRY and job.state_before in TERMINAL
        after_job = JobState(job.state_before) if returns else JobState.FAILED
        what = "the retry could not be planned" if returns else "planning failed"
        if job.state == JobState.PLANNING:
            end_planning(connection, task.job_id, after_job, f"{what}: {error}")

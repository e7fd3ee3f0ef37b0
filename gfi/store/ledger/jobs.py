"""Operations on a submitted job: pause, resume, set the priority, cancel, retry, delete.

queued | planning | running → cancelled; a retry of a finished job → succeeded | partial
succeeded | partial | failed | cancelled → planning | queued, by `retry_job` only
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import Deleted, Retried
from gfi.domain.states import ACTIVE, OPEN, TERMINAL, ControlKind, JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.store.database import Database, now
from gfi.store.errors import Conflict
from gfi.store.ledger.audit import record
from gfi.store.ledger.audit_chains import UNTIL_SETTLED, check_alone
from gfi.store.ledger.audits import locked_audit
from gfi.store.ledger.carrying import delete_parts
from gfi.store.ledger.control_requests import (
    add_job_task,
    cancel_task_in,
    close_control,
    job_of_import,
    last_payload,
    request_sweep,
    set_task_priority,
)
from gfi.store.ledger.deletion import delete_rows
from gfi.store.ledger.endings import verdict
from gfi.store.ledger.guards import job_transition, lock_job
from gfi.store.ledger.limits import admit_job
from gfi.store.ledger.outbox import announce
from gfi.store.ledger.shards import close_pending
from gfi.store.tables import audits, control_tasks, in_state, jobs, outbox, shards

_BATCHES_AT_ONCE = 10


def pause_job(db: Database, job_id: str, *, actor: str = "local") -> bool:
    """Set the pause flag: no shard is claimed, and workers commit finished images and release their shards.

    Returns False when the job was paused already. Conflict when it has ended.
    """
    return _set_paused(db, job_id, True, actor)


def resume_job(db: Database, job_id: str, *, actor: str = "local") -> bool:
    """Clear the pause flag. Returns False when it was not paused. Conflict when the job has ended."""
    return _set_paused(db, job_id, False, actor)


def _set_paused(db: Database, job_id: str, paused: bool, actor: str) -> bool:
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state in TERMINAL:
            raise Conflict(f"job {job_id} is {job.state}; only an unfinished job can be paused or resumed")
        if job.paused == paused:
            return False
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(paused=paused))
        # Messages already in Redis will lead to other claims or to none, so the shards are published again afterwards.
        published = sa.and_(shards.c.job_id == job_id, in_state(shards, ShardState.PENDING))
        marked = sa.and_(published, shards.c.published_at.is_not(None))
        connection.execute(sa.update(shards).where(marked).values(published_at=None))
        record(connection, actor, "job.paused" if paused else "job.resumed", job_id)
        return True


def set_priority(db: Database, job_id: str, priority: int, *, actor: str = "local") -> None:
    """Change the priority; it applies from the next claim on."""
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(priority=priority))
        set_task_priority(connection, job_id, job.queue, priority)
        record(connection, actor, "job.priority", job_id, {"priority": priority})


def move_job(db: Database, job_id: str, before: str, after: str) -> bool:
    """Move a running job that no worker has begun from one queue to another. Returns False where it is begun, has ended
    or was moved."""
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        leased = sa.exists().where(shards.c.job_id == job_id, in_state(shards, ShardState.LEASED))
        if (job.state, job.queue, job.profile) != (JobState.RUNNING, before, None):
            return False
        if connection.execute(sa.select(leased)).scalar_one():
            return False
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(queue=after))
        mine = sa.and_(shards.c.job_id == job_id, in_state(shards, ShardState.PENDING))
        connection.execute(sa.update(shards).where(mine).values(published_at=None))
        record(connection, "scheduler", "job.moved", job_id, {"from": before, "to": after})
        return True


def cancel_job(db: Database, job_id: str, *, actor: str = "local") -> bool:
    """queued | planning | running → cancelled. Returns False when it was cancelled already.

    When the retry of a `succeeded` or `partial` job is cancelled, the job keeps its results and ends in the state that
    follows from them: → succeeded | partial.

    Waiting shards are cancelled. A leased shard stays leased: its worker reads the cancellation at its next renewal and
    commits the images that it has finished, so that partial results stay readable; with this commit the rest of the
    shard is cancelled.
    """
    with db.begin() as connection:
        return cancel_in(connection, job_id, actor)


def cancel_audit(db: Database, audit_id: str, *, actor: str = "local") -> bool:
    """explaining | screening | confirming → cancelled, in one transaction, so that none of its steps comes between.

    Its open task is cancelled; while an audit until settled waits for its images, its job is. Returns False when it was
    cancelled already. Conflict when it has ended otherwise.
    """
    with db.begin() as connection:
        row, job = locked_audit(connection, audit_id)
        state = connection.execute(
            sa.select(control_tasks.c.state).where(control_tasks.c.id == row.task_id)
        ).scalar()
        settling = UNTIL_SETTLED in row.options
        if row.done_at is None:
            if state in OPEN:
                return cancel_task_in(connection, row.task_id, actor)
            if state == ShardState.CANCELLED or (settling and job.state == JobState.CANCELLED):
                return False
            if settling and job.state in ACTIVE:
                return cancel_in(connection, job.id, actor)
        raise Conflict(f"audit {audit_id} has ended; there is nothing left to cancel")


def cancel_task(db: Database, task_id: str, *, actor: str = "local") -> bool:
    """pending | leased → cancelled. Its fence rises, so that its worker stops at its next renewal and writes nothing.
    The job of an import is cancelled with it.

    Returns False when it was cancelled already. Conflict when it has ended, or is a step of its job.
    """
    with db.begin() as connection:
        changed = cancel_task_in(connection, task_id, actor)
        if changed:
            task = connection.execute(sa.select(control_tasks).where(control_tasks.c.id == task_id)).one()
            end_import_in(connection, task, actor)
        return changed


def end_import_in(connection: sa.Connection, task: sa.Row[Any], actor: str) -> None:
    """running → cancelled, the job of an import that failed or was cancelled: nobody else goes on with it.

    Its lock comes after that of the task; nothing takes these two in the other order.
    """
    job_id = job_of_import(task)
    if job_id is None:
        return
    running = sa.select(jobs.c.id).where(jobs.c.id == job_id, in_state(jobs, JobState.RUNNING))
    if connection.execute(running.with_for_update()).scalar() is not None:
        cancel_in(connection, job_id, actor)


def cancel_in(connection: sa.Connection, job_id: str, actor: str) -> bool:
    """`cancel_job` within a transaction of the caller, such as the firing of a schedule."""
    job = lock_job(connection, job_id)
    if job.state == JobState.CANCELLED:
        return False
    if job.state in TERMINAL:
        raise Conflict(f"job {job_id} is {job.state} already; there is nothing left to cancel")
    after, error, active = JobState.CANCELLED, None, ACTIVE
    if job.state_before in (JobState.SUCCEEDED, JobState.PARTIAL):
        after, why = verdict(connection, job)
        error = "; ".join(filter(None, ("its retry was cancelled", why)))
        active = ACTIVE - {JobState.QUEUED}  # a job that has ended before has been planned
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, job_transition(active, after))
        .values(state=after.value, paused=False, error=error, finished_at=now(), state_before=None)
    )
    close_pending(connection, job_id, ShardState.CANCELLED, None, None)
    close_control(connection, job_id)
    if after is not JobState.CANCELLED:
        add_job_task(connection, ControlKind.REPORT, job)
    announce(connection, job_id, after)
    record(connection, actor, "job.cancelled", job_id)
    return True


def retry_job(
    db: Database,
    job_id: str,
    statuses: Sequence[ImageStatus] = (ImageStatus.ERROR, ImageStatus.CHANGED),
    *,
    classes: Sequence[str] = (),
    rows: Sequence[int] = (),
    actor: str = "local",
) -> Retried:
    """succeeded | partial | failed | cancelled → planning, for another attempt at part of the job.

    A `retry` control task collects the rows whose status is one of `statuses` into a new manifest and opens
    failed and cancelled shards again. classes: if any are given (`unreadable`, `missing`, `killer` …), only rows and
    failed shards with an error of one of these classes. rows: if any are given, these images alone, whatever their
    status is, of a job that succeeded or is partial; shards that failed stay as they are. Results that the new attempt
    replaces are kept in `attempts`. A
    job that was never planned → queued, with a new `plan` task.
    """
    wanted = tuple(sorted(ImageStatus(status).value for status in statuses))
    payload: dict[str, Any] = {"statuses": list(wanted), "classes": sorted(classes)}
    if rows:
        payload["rows"] = sorted(set(rows))
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state not in TERMINAL:
            raise Conflict(f"job {job_id} is {job.state}; it can be retried once it has ended")
        if rows and job.state not in (JobState.SUCCEEDED, JobState.PARTIAL):
            raise Conflict(
                f"job {job_id} is {job.state}; single images are explained again once it has succeeded"
            )
        if job.config.get("imported"):
            raise Conflict(f"the masks of job {job_id} were imported; import them again as another job")
        _check_released(connection, job_id)
        for audit in connection.execute(sa.select(audits).where(audits.c.job_id == job_id)):
            check_alone(connection, audit)
        admit_job(connection, job.owner)
        planned = job.manifest_key is not None
        after = JobState.PLANNING if planned else JobState.QUEUED
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_transition(JobState(job.state), after))
            .values(
                state=after.value,
                state_before=job.state,
                error=None,
                finished_at=None,
                generation=jobs.c.generation + (1 if planned else 0),
            )
        )
        close_control(connection, job_id)
        if planned:
            add_job_task(connection, ControlKind.RETRY, job, payload)
        else:
            asked = last_payload(connection, ControlKind.PLAN, job_id)
            add_job_task(connection, ControlKind.PLAN, job, asked)
        record(connection, actor, "job.retried", job_id, payload | {"from": job.state})
        return Retried(job_id, after, wanted)


def delete_job(
    db: Database,
    job_id: str,
    *,
    actor: str = "local",
    unless: Callable[[sa.Connection], str | None] = lambda connection: None,
) -> Deleted:
    """Remove the rows of a job that has ended. Returns the prefixes of its objects, which the caller deletes.

    Parts to which carried results of other jobs refer stay, with their rows. Results beyond the first hundred thousand
    are left to a sweep. The audit log keeps an entry. Conflict when the job
    has not ended, or where `unless`, called under the lock of the job, gives a reason.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state not in TERMINAL:
            raise Conflict(f"job {job_id} is {job.state}; cancel it first")
        if (reason := unless(connection)) is not None:
            raise Conflict(f"job {job_id} is kept: {reason}")
        _check_released(connection, job_id)
        record(
            connection,
            actor,
            "job.deleted",
            job_id,
            {"name": job.name, "config_digest": job.config_digest, "state": job.state, "images": job.total},
        )
        connection.execute(sa.delete(outbox).where(outbox.c.job_id == job_id))
        delete_parts(connection, job_id)
        # Shards, incidents, control tasks, flags, audits and their findings are deleted with it.
        connection.execute(sa.delete(jobs).where(jobs.c.id == job_id))
    if not delete_rows(db, job_id, _BATCHES_AT_ONCE):
        request_sweep(db, 0.0)
    return Deleted(job_id, (f"jobs/{job_id}/", f"parts/{job_id}/", f"audits/{job_id}/"))


def _check_released(connection: sa.Connection, job_id: str) -> None:
    leased = sa.select(shards.c.id).where(shards.c.job_id == job_id, in_state(shards, ShardState.LEASED))
    if connection.execute(leased.limit(1)).scalar() is not None:
        raise Conflict(f"a worker is still releasing job {job_id}; try again in a few seconds")

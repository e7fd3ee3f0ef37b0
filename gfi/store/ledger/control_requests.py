"""Tasks: requested, cancelled, retried, and closed when their job ends."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.domain.states import OPEN, ControlKind, JobState, ShardState
from gfi.domain.tasks import KINDS, priority_in
from gfi.store.database import Database, now
from gfi.store.errors import Conflict, NotFound
from gfi.store.ledger.audit import record
from gfi.store.ledger.audit_chains import check_last
from gfi.store.ledger.guards import lock_job, shard_transition
from gfi.store.ledger.limits import admit_task
from gfi.store.others_go_on import others_go_on
from gfi.store.tables import audits, control_tasks, in_state, jobs, parts

LISTED_EVERY = 1000  # parts
_SWEEP_LOCK = 7_305_003
_REQUEST_LOCK = 7_305_004


def request_task(
    db: Database,
    kind: str,
    payload: Mapping[str, Any],
    *,
    owner: str,
    job_id: str | None = None,
    priority: int = 0,
    estimate_s: float | None = None,
) -> tuple[str, bool]:
    """(nothing) → pending. Returns (id, True), or (id, False) of an open task of this kind with this payload.

    estimate_s: expected seconds on a device, if known. LimitExceeded if the owner may not have another.
    """
    with db.begin() as connection:
        return request_task_in(
            connection, kind, payload, owner=owner, job_id=job_id, priority=priority, estimate_s=estimate_s
        )


def request_task_in(
    connection: sa.Connection,
    kind: str,
    payload: Mapping[str, Any],
    *,
    owner: str,
    job_id: str | None = None,
    priority: int = 0,
    estimate_s: float | None = None,
) -> tuple[str, bool]:
    """`request_task` within a transaction."""
    wanted = sa.select(control_tasks.c.id, control_tasks.c.payload).where(
        control_tasks.c.kind == kind, control_tasks.c.state.in_(sorted(OPEN))
    )
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_REQUEST_LOCK)))
    if job_id is not None:
        lock_job(connection, job_id, shared=True)
    mine = control_tasks.c.job_id.is_(None) if job_id is None else control_tasks.c.job_id == job_id
    for task in connection.execute(wanted.where(mine)):
        if task.payload == dict(payload):
            return task.id, False
    if KINDS[kind].needs != "none":
        admit_task(connection, owner, estimate_s)
    task_id = add_control_task(
        connection,
        kind,
        job_id,
        dict(payload),
        owner=owner,
        priority=priority,
        estimate_s=estimate_s,
    )
    record(connection, owner or "local", "task.requested", job_id, {"task": task_id, "kind": kind})
    return task_id, True


def cancel_task_in(connection: sa.Connection, task_id: str, actor: str) -> bool:
    """`jobs.cancel_task` within a transaction, of a task that makes no job."""
    task = _locked(connection, task_id)
    if task.state == ShardState.CANCELLED:
        return False
    if task.state not in OPEN:
        raise Conflict(f"task {task_id} is {task.state} already; there is nothing left to cancel")
    connection.execute(
        sa.update(control_tasks)
        .where(
            control_tasks.c.id == task_id,
            shard_transition(control_tasks, ShardState(task.state), ShardState.CANCELLED),
        )
        .values(state=ShardState.CANCELLED.value, fence=control_tasks.c.fence + 1, done_at=now())
    )
    record(connection, actor, "task.cancelled", task.job_id, {"task": task_id, "kind": task.kind})
    return True


def retry_task(db: Database, task_id: str, *, actor: str = "local") -> None:
    """failed | cancelled → pending; it continues from the progress that was saved. An import whose job was cancelled
    begins again, with another job.

    Conflict when it is in another state, is a step of its job, or is of an audit that went on with another task or
    that another audit goes on from.
    """
    with db.begin() as connection:
        of_job = sa.select(control_tasks.c.job_id).where(control_tasks.c.id == task_id)
        if (job_id := connection.execute(of_job).scalar()) is not None:
            lock_job(connection, job_id)  # so that its audit gets no other task meanwhile
        task = _locked(connection, task_id)
        if task.kind in (ControlKind.SCREEN, ControlKind.CONFIRM):
            mine = connection.execute(sa.select(audits).where(audits.c.id == task.payload["audit"])).one()
            check_current(mine, task_id)
            check_last(connection, mine)
        if task.needs != "none":
            admit_task(connection, task.owner, task.estimate_s)
        if task.state not in (ShardState.FAILED, ShardState.CANCELLED):
            raise Conflict(
                f"task {task_id} is {task.state}; only one that failed or was cancelled can be retried"
            )
        connection.execute(
            sa.update(control_tasks)
            .where(
                control_tasks.c.id == task_id,
                shard_transition(control_tasks, ShardState(task.state), ShardState.PENDING),
            )
            .values(
                state=ShardState.PENDING.value,
                attempts=0,
                deaths=0,
                reason=None,
                failure_class=None,
                not_before=0.0,
                published_at=None,
                done_at=None,
                progress=None if _has_cancelled_job(connection, task) else task.progress,
            )
        )
        record(connection, actor, "task.retried", task.job_id, {"task": task_id, "kind": task.kind})


def _has_cancelled_job(connection: sa.Connection, task: sa.Row[Any]) -> bool:
    job_id = job_of_import(task)
    if job_id is None:
        return False
    cancelled = sa.select(jobs.c.id).where(jobs.c.id == job_id, in_state(jobs, JobState.CANCELLED))
    return connection.execute(cancelled).scalar() is not None


def job_of_import(task: sa.Row[Any]) -> str | None:
    """The id under which an import makes its job, or has made it; None for other tasks."""
    progress: JSON = (task.progress if task.kind == ControlKind.IMPORT else None) or {}
    return progress.get("job")


def _locked(connection: sa.Connection, task_id: str) -> sa.Row[Any]:
    """The row of a task that may be changed by itself, locked."""
    query = sa.select(control_tasks).where(control_tasks.c.id == task_id).with_for_update()
    task = connection.execute(query).one_or_none()
    if task is None:
        raise NotFound(f"no task {task_id}; `gfi tasks` lists them")
    if (kind := KINDS.get(task.kind)) is not None and kind.of_job:
        raise Conflict(f"task {task_id} is a step of job {task.job_id}; cancel or retry the job")
    return task


def check_current(audit: sa.Row[Any], task_id: str) -> None:
    """Raises Conflict unless this is the current task of an audit that is not done.

    No other may run or commit: it would count images twice, or overwrite what was asked for since.
    """
    if audit.done_at is not None:
        raise Conflict(f"audit {audit.id} is done already")
    if audit.task_id != task_id:
        raise Conflict(f"audit {audit.id} has gone on with another task than {task_id}: {audit.task_id}")


def request_sweep(db: Database, every_s: float) -> str | None:
    """(nothing) → pending: a `sweep` task, unless one is open or was requested within the last `every_s` seconds.

    Returns its id, or None. Any number of schedulers may call this.
    """
    with db.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SWEEP_LOCK)))
        recent = sa.or_(control_tasks.c.state.in_(sorted(OPEN)), control_tasks.c.created_at > now() - every_s)
        known = sa.select(control_tasks.c.id).where(control_tasks.c.kind == ControlKind.SWEEP.value, recent)
        if connection.execute(known.limit(1)).scalar() is not None:
            return None
        return add_control_task(connection, ControlKind.SWEEP, None)


def request_lists(db: Database, every: int = LISTED_EVERY) -> list[str]:
    """(nothing) → pending: a `list` task for each running job with `every` parts more than its last list names.

    A lost database is rebuilt from these lists, so they must not be old. Returns the ids of the tasks.
    """
    counted = (
        sa.select(parts.c.job_id, sa.func.count().label("parts"))
        .join(jobs, jobs.c.id == parts.c.job_id)
        .where(in_state(jobs, JobState.RUNNING))
        .group_by(parts.c.job_id)
        .having(sa.func.count() >= every)
    )
    with db.read() as connection:
        grown = connection.execute(counted).all()
    requested = []
    for job_id, number in grown:
        with others_go_on("list not requested", job=job_id), db.begin() as connection:
            job = lock_job(connection, job_id)
            if job.state != JobState.RUNNING:
                continue
            lists = connection.execute(
                sa.select(control_tasks.c.state, control_tasks.c.result).where(
                    control_tasks.c.job_id == job_id, control_tasks.c.kind == ControlKind.LIST.value
                )
            ).all()
            listed = max(((task.result or {}).get("parts", 0) for task in lists), default=0)
            if number - listed >= every and not any(task.state in OPEN for task in lists):
                requested.append(add_job_task(connection, ControlKind.LIST, job))
    return requested


def add_control_task(
    connection: sa.Connection,
    kind: str,
    job_id: str | None,
    payload: JSON | None = None,
    *,
    owner: str = "",
    priority: int = 0,
    estimate_s: float | None = None,
) -> str:
    """(nothing) → pending. Returns the id of the task."""
    task_id = new_id()
    connection.execute(
        sa.insert(control_tasks).values(
            id=task_id,
            job_id=job_id,
            kind=str(kind),
            payload=payload or {},
            needs=KINDS[kind].needs,
            queue=KINDS[kind].queue,
            owner=owner,
            priority=priority,
            estimate_s=estimate_s,
            state=ShardState.PENDING.value,
            created_at=now(),
        )
    )
    return task_id


def add_job_task(
    connection: sa.Connection, kind: ControlKind, job: sa.Row[Any], payload: JSON | None = None
) -> str:
    """(nothing) → pending, with the owner and the priority of its job. Returns the id of the task."""
    priority = priority_in(job.queue, job.priority)
    return add_control_task(connection, kind, job.id, payload, owner=job.owner, priority=priority)


def last_payload(connection: sa.Connection, kind: ControlKind, job_id: str) -> JSON | None:
    """What the last task of this kind was asked for the job."""
    same = sa.and_(control_tasks.c.job_id == job_id, control_tasks.c.kind == kind.value)
    newest = sa.select(control_tasks.c.payload).where(same).order_by(control_tasks.c.id.desc()).limit(1)
    return connection.execute(newest).scalar()


def report_again(connection: sa.Connection, job: sa.Row[Any]) -> None:
    """(nothing) → pending, a `report` of a job that has ended, unless one waits that will see the same results."""
    waiting = sa.select(control_tasks.c.id).where(
        control_tasks.c.job_id == job.id,
        control_tasks.c.kind == ControlKind.REPORT.value,
        in_state(control_tasks, ShardState.PENDING),
    )
    if connection.execute(waiting.limit(1)).scalar() is None:
        add_job_task(connection, ControlKind.REPORT, job)


def set_task_priority(connection: sa.Connection, job_id: str, queue: str, priority: int) -> None:
    """The waiting tasks of a job follow its priority."""
    connection.execute(
        sa.update(control_tasks)
        .where(control_tasks.c.job_id == job_id, in_state(control_tasks, ShardState.PENDING))
        .values(priority=priority_in(queue, priority))
    )


def close_control(connection: sa.Connection, job_id: str) -> None:
    """pending | leased → cancelled, every control task of a job. Their fences rise: no worker can finish one."""
    for before in (ShardState.PENDING, ShardState.LEASED):
        connection.execute(
            sa.update(control_tasks)
            .where(
                control_tasks.c.job_id == job_id,
                shard_transition(control_tasks, before, ShardState.CANCELLED),
            )
            .values(state=ShardState.CANCELLED.value, fence=control_tasks.c.fence + 1)
        )

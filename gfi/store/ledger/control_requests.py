"""Control tasks: requested, and closed when their job ends."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.domain.states import OPEN, ControlKind, JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.ledger.guards import lock_job, shard_transition
from gfi.store.tables import control_tasks, in_state, jobs, parts

LISTED_EVERY = 1000  # parts
_SWEEP_LOCK = 7_305_003


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
        with db.begin() as connection:
            if lock_job(connection, job_id).state != JobState.RUNNING:
                continue
            lists = connection.execute(
                sa.select(control_tasks.c.state, control_tasks.c.result).where(
                    control_tasks.c.job_id == job_id, control_tasks.c.kind == ControlKind.LIST.value
                )
            ).all()
            listed = max(((task.result or {}).get("parts", 0) for task in lists), default=0)
            if number - listed >= every and not any(task.state in OPEN for task in lists):
                requested.append(add_control_task(connection, ControlKind.LIST, job_id))
    return requested


def add_control_task(
    connection: sa.Connection, kind: ControlKind, job_id: str | None, payload: JSON | None = None
) -> str:
    """(nothing) → pending. Returns the id of the task."""
    task_id = new_id()
    connection.execute(
        sa.insert(control_tasks).values(
            id=task_id,
            job_id=job_id,
            kind=kind.value,
            payload=payload or {},
            state=ShardState.PENDING.value,
            created_at=now(),
        )
    )
    return task_id


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

"""Tasks."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import OPEN, ControlKind, ShardState
from gfi.store.database import Database, now
from gfi.store.errors import NotFound
from gfi.store.queries.fetching import fetch
from gfi.store.tables import control_tasks, in_state

RECENT = 5


@dataclass(frozen=True)
class Task:
    """A task. Times are epoch seconds, `age_s` seconds since it was requested."""

    id: str
    kind: str
    state: ShardState
    job_id: str | None
    needs: str
    queue: str
    owner: str
    priority: int
    estimate_s: float | None
    progress: JSON | None
    payload: JSON
    result: JSON | None
    reason: str | None
    worker: str | None
    attempts: int
    deaths: int
    created_at: float
    leased_at: float | None
    done_at: float | None
    age_s: float

    @property
    def ended(self) -> bool:
        """Done, failed or cancelled."""
        return self.state not in OPEN


_COLUMNS = [control_tasks.c[name] for name in Task.__dataclass_fields__ if name != "age_s"]


def _task(row: JSON) -> Task:
    return Task(**row | {"state": ShardState(row["state"]), "payload": row["payload"] or {}})


def _query() -> sa.Select[Any]:
    return sa.select(*_COLUMNS, (now() - control_tasks.c.created_at).label("age_s"))


def get_task(db: Database, task_id: str) -> Task:
    """One task. NotFound."""
    rows = fetch(db, _query().where(control_tasks.c.id == task_id))
    if not rows:
        raise NotFound(f"no task {task_id}; `gfi tasks` and GET /v1/tasks list them")
    return _task(rows[0])


def list_tasks(
    db: Database,
    *,
    limit: int = 50,
    after: str | None = None,
    state: ShardState | None = None,
    kind: str | None = None,
    owner: str | None = None,
    job_id: str | None = None,
    open_only: bool = False,
) -> list[Task]:
    """Tasks, newest first; `after` is the last id of the page before. open_only: waiting or under way."""
    query = _query().order_by(control_tasks.c.id.desc()).limit(limit)
    for column, wanted in (
        (control_tasks.c.state, state),
        (control_tasks.c.kind, kind),
        (control_tasks.c.owner, owner),
        (control_tasks.c.job_id, job_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if open_only:
        query = query.where(control_tasks.c.state.in_(sorted(OPEN)))
    if after is not None:
        query = query.where(control_tasks.c.id < after)
    return [_task(row) for row in fetch(db, query)]


def usual_duration(db: Database, kind: str) -> float | None:
    """The mean duration in seconds of the last few tasks of this kind; None before the first."""
    done = sa.and_(control_tasks.c.kind == kind, in_state(control_tasks, ShardState.DONE))
    took = control_tasks.c.done_at - control_tasks.c.leased_at
    last = sa.select(took.label("took")).where(done).order_by(control_tasks.c.done_at.desc()).limit(RECENT)
    with db.read() as connection:
        mean = connection.execute(sa.select(sa.func.avg(last.subquery().c.took))).scalar()
    return float(mean) if mean is not None else None


def last_sweep(db: Database) -> JSON | None:
    """The newest finished sweep: `done_at` and its `result`; None if there was none yet."""
    done = sa.and_(control_tasks.c.kind == ControlKind.SWEEP.value, in_state(control_tasks, ShardState.DONE))
    query = sa.select(control_tasks.c.done_at, control_tasks.c.result).where(done)
    return next(iter(fetch(db, query.order_by(control_tasks.c.done_at.desc()).limit(1))), None)

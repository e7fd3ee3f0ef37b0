"""Control tasks."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import ControlKind, ShardState
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import control_tasks, in_state


def last_sweep(db: Database) -> JSON | None:
    """The newest sweep that is done: `done_at` and its `result`; None when there was none yet."""
    done = sa.and_(control_tasks.c.kind == ControlKind.SWEEP.value, in_state(control_tasks, ShardState.DONE))
    query = sa.select(control_tasks.c.done_at, control_tasks.c.result).where(done)
    return next(iter(fetch(db, query.order_by(control_tasks.c.done_at.desc()).limit(1))), None)

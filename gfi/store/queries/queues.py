"""The amount of work in each queue."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.queues import CONTROL_QUEUE
from gfi.domain.states import ACTIVE, OPEN, ShardState
from gfi.store.database import Database, now
from gfi.store.tables import control_tasks, in_state, jobs, shards


def waiting(db: Database) -> dict[str, JSON]:
    """{queue: {pending, leased, delayed}} of the shards of jobs under way, and of control tasks.

    `delayed` are those of `pending` that wait for their next attempt.
    """
    delayed = shards.c.not_before > now()
    by_queue = (
        sa.select(
            jobs.c.queue,
            sa.func.sum(sa.case((in_state(shards, ShardState.PENDING), 1), else_=0)).label("pending"),
            sa.func.sum(sa.case((in_state(shards, ShardState.LEASED), 1), else_=0)).label("leased"),
            sa.func.sum(sa.case((sa.and_(in_state(shards, ShardState.PENDING), delayed), 1), else_=0)).label(
                "delayed"
            ),
        )
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(jobs.c.state.in_(sorted(ACTIVE)), shards.c.state.in_(sorted(OPEN)))
        .group_by(jobs.c.queue)
    )
    control = (
        sa.select(control_tasks.c.state, sa.func.count())
        .where(control_tasks.c.state.in_(sorted(OPEN)))
        .group_by(control_tasks.c.state)
    )
    with db.read() as connection:
        queues = {
            row.queue: {"pending": int(row.pending), "leased": int(row.leased), "delayed": int(row.delayed)}
            for row in connection.execute(by_queue)
        }
        counts = {row[0]: int(row[1]) for row in connection.execute(control)}
    queues[CONTROL_QUEUE] = {
        "pending": counts.get(ShardState.PENDING.value, 0),
        "leased": counts.get(ShardState.LEASED.value, 0),
        "delayed": 0,
    }
    return queues

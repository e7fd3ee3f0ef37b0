"""Chooses the hints that are published to Redis: a small window of the waiting work.

A message says "there is work on queue Q, preferably shard S". It is only a hint: its receiver claims from the database,
where priority and fairness are decided, and may find nothing to claim. The column `published_at` of a row says when a
message for it was put into Redis. A row that nobody has claimed one lease later is published again; no other recovery
from a loss of messages is needed.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from gfi.domain.queues import IMPORT
from gfi.domain.records import Hint
from gfi.domain.states import JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.ledger.guards import has_shard
from gfi.store.tables import control_tasks, in_state, jobs, shards


def dispatch(db: Database, window: int, lease_s: float) -> list[Hint]:
    """Choose and mark the hints to publish now, so that about `window` messages per queue are in Redis.

    The caller publishes them after this has returned (commit, then publish) and calls `undispatch` with
    those that could not be published. A hint that led to no claim within `lease_s` is published again, so a
    message that Redis loses is replaced. It matters little which shard a hint names, since the claim
    decides by priority and fairness.
    """
    hints = []
    with db.begin() as connection:
        stale = now() - lease_s
        for table, queue in ((control_tasks, control_tasks.c.queue), (shards, jobs.c.queue)):
            outstanding = (
                sa.select(queue.label("queue"), sa.func.count())
                .select_from(table.outerjoin(jobs, jobs.c.id == table.c.job_id))
                .where(in_state(table, ShardState.PENDING), table.c.published_at >= stale)
                .group_by(queue)
            )
            taken = {row[0]: row[1] for row in connection.execute(outstanding)}
            for queue_name in _queues(connection, table):
                free = window - taken.get(queue_name, 0)
                if free > 0:
                    hints += _publishable(connection, table, queue_name, free, stale)
        for table in (control_tasks, shards):
            ids = sorted(h.id for h in hints if h.task == (table is control_tasks))
            if ids:
                connection.execute(
                    sa.update(table)
                    .where(table.c.id.in_(ids), in_state(table, ShardState.PENDING))
                    .values(published_at=now())
                )
    return hints


def _queues(connection: sa.Connection, table: sa.Table) -> Sequence[str]:
    if table is control_tasks:
        waiting = sa.select(table.c.queue).where(in_state(table, ShardState.PENDING))
        return connection.execute(waiting.distinct()).scalars().all()
    running = sa.select(jobs.c.queue).where(
        in_state(jobs, JobState.RUNNING), ~jobs.c.paused, ~jobs.c.queue.startswith(IMPORT)
    )
    return connection.execute(running.distinct()).scalars().all()


def _publishable(
    connection: sa.Connection, table: sa.Table, queue: str, free: int, stale: sa.ColumnElement[float]
) -> list[Hint]:
    unpublished = sa.or_(table.c.published_at.is_(None), table.c.published_at < stale)
    due = sa.and_(table.c.not_before <= now(), unpublished)
    waiting = sa.and_(in_state(table, ShardState.PENDING), due)
    if table is control_tasks:
        query = (
            sa.select(table.c.id, table.c.job_id)
            .where(waiting, table.c.queue == queue)
            .order_by(table.c.priority.desc(), table.c.created_at)
            .limit(free)
        )
        return [Hint(queue, row.id, row.job_id, task=True) for row in connection.execute(query)]
    # One query per job, in the order of claims, so that the waiting shards of all jobs need not be sorted.
    running = (
        sa.select(jobs.c.id)
        .where(in_state(jobs, JobState.RUNNING), ~jobs.c.paused, jobs.c.queue == queue)
        .where(has_shard(ShardState.PENDING, due))
        .order_by(jobs.c.priority.desc(), jobs.c.created_at)
        .limit(free)
    )
    job_ids = connection.execute(running).scalars().all()
    hints: list[Hint] = []
    for place, job_id in enumerate(job_ids):
        share = -(-(free - len(hints)) // (len(job_ids) - place))
        query = (
            sa.select(table.c.id)
            .where(table.c.job_id == job_id, waiting)
            .order_by(table.c.start)
            .limit(share)
        )
        hints += [Hint(queue, id_, job_id) for id_ in connection.execute(query).scalars()]
    return hints


def undispatch(db: Database, hints: Iterable[Hint]) -> None:
    """Remove the mark of hints that could not be published, so that the next tick publishes them."""
    with db.begin() as connection:
        for hint in hints:
            table = control_tasks if hint.task else shards
            connection.execute(sa.update(table).where(table.c.id == hint.id).values(published_at=None))

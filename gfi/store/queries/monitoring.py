"""What an operator is alerted of: work that waits, leases that are overdue, incidents, messages that are not sent."""

import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gfi.domain.ids import first_id
from gfi.domain.states import ControlKind, JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.tables import control_tasks, findings, in_state, incidents, jobs, outbox, shards

RECENT_S = 3600.0


@dataclass(frozen=True)
class Monitored:
    """The state of an installation, in seconds and counts."""

    oldest_waiting_s: dict[str, float]
    """By queue: since when a shard or task could have been claimed and was not; queues without one are absent."""
    overdue: int
    """Leases of shards and tasks that ended and were not taken away yet: a scheduler does that every second."""
    oldest_lease_s: float
    """How long the longest lease has been held."""
    incidents: dict[tuple[str, str], int]
    """(kind, class of the failure, or the empty string) → incidents of the last hour."""
    unsent: dict[str, int]
    """By channel: messages that wait to be sent."""
    oldest_unsent_s: float
    tasks: dict[tuple[str, str], int]
    """(kind, state) → tasks that are kept."""
    findings: dict[str, int]
    """By verdict, of all audits."""
    gates: dict[str, int]
    """By verdict, of all comparisons with a gate."""
    gates_last_hour: dict[str, int]
    """Likewise, of those that ended in the last hour."""


def monitored(db: Database) -> Monitored:
    """The figures above. Reads open shards and tasks, the last hour's incidents and the few rows of the others."""
    # A shard waits from its planning on, and after a failed attempt from `not_before` on.
    claimable = sa.case(
        (shards.c.not_before > jobs.c.planned_at, shards.c.not_before), else_=jobs.c.planned_at
    )
    waiting = (
        sa.select(jobs.c.queue, sa.func.max(now() - claimable))
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(
            jobs.c.state == JobState.RUNNING.value,
            jobs.c.paused.is_(sa.false()),
            in_state(shards, ShardState.PENDING),
            shards.c.not_before <= now(),
        )
        .group_by(jobs.c.queue)
    )
    since = control_tasks.c.created_at
    asked = sa.case((control_tasks.c.not_before > since, control_tasks.c.not_before), else_=since)
    tasks = (
        sa.select(control_tasks.c.queue, sa.func.max(now() - asked))
        .where(in_state(control_tasks, ShardState.PENDING), control_tasks.c.not_before <= now())
        .group_by(control_tasks.c.queue)
    )
    leases = sa.union_all(
        *(
            sa.select(table.c.lease_until, table.c.leased_at).where(in_state(table, ShardState.LEASED))
            for table in (shards, control_tasks)
        )
    ).subquery()
    held = sa.select(
        sa.func.coalesce(sa.func.sum(sa.case((leases.c.lease_until < now(), 1), else_=0)), 0),
        sa.func.coalesce(sa.func.max(now() - leases.c.leased_at), 0.0),
    )
    went_wrong = (
        sa.select(incidents.c.kind, incidents.c.failure_class, sa.func.count())
        .where(incidents.c.id >= first_id(time.time() - RECENT_S))  # ids sort by time
        .group_by(incidents.c.kind, incidents.c.failure_class)
    )
    unsent = (
        sa.select(outbox.c.channel, sa.func.count(), sa.func.max(now() - outbox.c.created_at))
        .where(outbox.c.sent_at.is_(None))
        .group_by(outbox.c.channel)
    )
    verdict = control_tasks.c.result["verdict"].as_string()
    gates = (
        sa.select(verdict, sa.func.count())
        .where(control_tasks.c.kind == ControlKind.COMPARE.value, in_state(control_tasks, ShardState.DONE))
        .where(verdict.is_not(None))
        .group_by(verdict)
    )
    lately = gates.where(control_tasks.c.done_at > now() - RECENT_S)
    by_kind = sa.select(control_tasks.c.kind, control_tasks.c.state, sa.func.count()).group_by(
        control_tasks.c.kind, control_tasks.c.state
    )
    with db.read() as connection:
        oldest: dict[str, float] = {}
        for query in (waiting, tasks):
            for queue, seconds in connection.execute(query):
                oldest[queue] = max(oldest.get(queue, 0.0), float(seconds))
        overdue, oldest_lease = connection.execute(held).one()
        messages = connection.execute(unsent).all()
        return Monitored(
            oldest_waiting_s=oldest,
            overdue=int(overdue),
            oldest_lease_s=float(oldest_lease),
            incidents={(row[0], row[1] or ""): row[2] for row in connection.execute(went_wrong)},
            unsent={row[0]: row[1] for row in messages},
            oldest_unsent_s=max((float(row[2]) for row in messages), default=0.0),
            tasks={(row[0], row[1]): row[2] for row in connection.execute(by_kind)},
            findings=_counts(
                connection, sa.select(findings.c.verdict, sa.func.count()).group_by(findings.c.verdict)
            ),
            gates=_counts(connection, gates),
            gates_last_hour=_counts(connection, lately),
        )


def _counts(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in connection.execute(query)}

"""Messages to other systems (webhooks), written in the transaction of the change that they report and sent
afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.domain.records import EMAIL, WEBHOOK
from gfi.domain.states import JobState
from gfi.store.database import Database, now
from gfi.store.tables import jobs, outbox, schedules


def announce(connection: sa.Connection, job_id: str, state: JobState) -> None:
    """Write a message for each address that is to be notified of the end of the job."""
    notify = connection.execute(sa.select(jobs.c.notify).where(jobs.c.id == job_id)).scalar() or []
    _write(connection, notify, job_id, "job.finished", {"job": job_id, "state": state.value})


def announce_followed(connection: sa.Connection, job_id: str, payload: JSON) -> int:
    """Write a message about what followed a job of a schedule for each of its addresses. Returns how many."""
    notify = connection.execute(sa.select(jobs.c.notify).where(jobs.c.id == job_id)).scalar() or []
    _write(connection, notify, job_id, "job.followed", {"job": job_id, **payload})
    return len(notify)


def announce_firing(
    connection: sa.Connection, schedule_id: str, firing_key: str, kind: str, reason: str
) -> None:
    """Write a message about a firing that has no job, one for each address of its schedule.

    kind: `firing.held` or `firing.missed`. The message belongs to no job: its address is the schedule's.
    """
    query = sa.select(schedules.c.name, schedules.c.request).where(schedules.c.id == schedule_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return
    targets = [{"channel": name} for name in (WEBHOOK, EMAIL) if row.request.get(name)]
    payload = {"schedule": row.name, "schedule_id": schedule_id, "due": firing_key, "reason": reason}
    _write(connection, targets, "", kind, payload)


def _write(
    connection: sa.Connection, targets: Sequence[Mapping[str, Any]], job_id: str, kind: str, payload: JSON
) -> None:
    for target in targets:
        connection.execute(
            sa.insert(outbox).values(
                id=new_id(),
                job_id=job_id,
                kind=kind,
                channel=target["channel"],
                payload=payload,
                created_at=now(),
            )
        )


def take_outbox(db: Database, limit: int, hold_s: float, channel: str) -> list[JSON]:
    """Messages of a channel that are due, oldest first. No other sender gets them for `hold_s` seconds."""
    with db.begin() as connection:
        due = (
            sa.select(outbox.c.id)
            .where(outbox.c.channel == channel, outbox.c.sent_at.is_(None), outbox.c.not_before <= now())
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = connection.execute(
            sa.update(outbox)
            .where(outbox.c.id.in_(due))
            .values(not_before=now() + hold_s, attempts=outbox.c.attempts + 1)
            .returning(outbox)
        ).all()
        return sorted((dict(row._mapping) for row in taken), key=lambda row: row["id"])


def settle_outbox(db: Database, message_id: str, error: str | None = None, delay_s: float = 0.0) -> None:
    """Mark a message as sent or, where there is an `error`, as to be sent again after `delay_s`."""
    values: dict[str, Any] = {"error": error}
    values |= {"sent_at": now()} if error is None else {"not_before": now() + delay_s}
    with db.begin() as connection:
        connection.execute(sa.update(outbox).where(outbox.c.id == message_id).values(**values))

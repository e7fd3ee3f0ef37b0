"""Schedules: added, removed, and fired, which submits a job."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec, Submitted
from gfi.store.database import Database, insert, now
from gfi.store.errors import Conflict, NotFound, StoreError
from gfi.store.ledger.audit import record
from gfi.store.ledger.submission import submit_in
from gfi.store.tables import firings, schedules


def add_schedule(
    db: Database,
    name: str,
    cron: str,
    zone: str,
    request: Mapping[str, Any],
    *,
    next_due: float | None,
    actor: str = "local",
) -> str:
    """Add a schedule. Returns its id. Conflict when the name is in use.

    The caller has checked `cron`, `zone` and `request`. request: the options of the jobs; each firing freezes them
    again, so that it explains the model that is registered at that time. next_due: epoch seconds; None for never.
    """
    with db.begin() as connection:
        if connection.execute(sa.select(schedules.c.id).where(schedules.c.name == name)).scalar():
            raise Conflict(f"a schedule named {name!r} exists; gfi schedule rm {name}")
        schedule_id = new_id()
        connection.execute(
            sa.insert(schedules).values(
                id=schedule_id,
                name=name,
                owner=request.get("owner", ""),
                cron=cron,
                zone=zone,
                request=dict(request),
                created_at=now(),
                next_due=next_due,
            )
        )
        record(connection, actor, "schedule.added", None, {"name": name, "cron": cron, "zone": zone})
        return schedule_id


def remove_schedule(db: Database, name: str, *, actor: str = "local") -> None:
    """Remove a schedule by name or id. Its jobs stay. NotFound when there is none."""
    with db.begin() as connection:
        named = sa.or_(schedules.c.name == name, schedules.c.id == name)
        if not connection.execute(sa.delete(schedules).where(named)).rowcount:
            raise NotFound(f"no schedule {name!r}; `gfi schedule list` shows them")
        record(connection, actor, "schedule.removed", None, {"name": name})


def set_next_due(db: Database, schedule_id: str, next_due: float | None) -> None:
    """Record when a schedule is next due. next_due: epoch seconds; None for never."""
    with db.begin() as connection:
        _set_next_due(connection, schedule_id, next_due)


def _set_next_due(connection: sa.Connection, schedule_id: str, next_due: float | None) -> None:
    mine = sa.update(schedules).where(schedules.c.id == schedule_id)
    if next_due is not None:  # of two schedulers, the later instant is right
        mine = mine.where(schedules.c.next_due < next_due)
    connection.execute(mine.values(next_due=next_due))


def fire(
    db: Database,
    schedule_id: str,
    firing_key: str,
    spec: JobSpec | StoreError,
    *,
    next_due: float | None,
    max_active_jobs: int | None = None,
) -> Submitted | None:
    """Submit the job of one firing, exactly once even if several schedulers call: `firing_key` is unique per schedule.

    `spec`: the job, or the error that prevents it (its dataset is gone). `next_due`: the instant after this
    one. Returns None when this firing was done before or the schedule was removed. An error, whether `spec`
    or a limit that refuses the job, is recorded with the firing and raised.
    """
    with db.begin() as connection:
        _set_next_due(connection, schedule_id, next_due)
        if not _first(connection, schedule_id, firing_key):
            return None
        refused: StoreError | None = None
        try:
            if isinstance(spec, StoreError):
                raise spec
            with connection.begin_nested():
                submitted = submit_in(connection, spec, max_active_jobs=max_active_jobs)
        except StoreError as error:
            refused = error
            outcome = {"error": str(error)}
        else:
            outcome = {"job_id": submitted.job_id}
        connection.execute(
            sa.update(firings)
            .where(firings.c.schedule_id == schedule_id, firings.c.firing_key == firing_key)
            .values(**outcome)
        )
    if refused is not None:
        raise refused
    return submitted


def _first(connection: sa.Connection, schedule_id: str, firing_key: str) -> bool:
    known = sa.select(schedules.c.id).where(schedules.c.id == schedule_id)
    if connection.execute(known).scalar() is None:
        return False
    statement = insert(connection, firings).values(schedule_id=schedule_id, firing_key=firing_key, at=now())
    # RETURNING, since the rowcount of psycopg is always -1 for this statement.
    inserted = statement.on_conflict_do_nothing().returning(firings.c.firing_key)
    return connection.execute(inserted).scalar() is not None

"""Schedules: added, changed, removed, and fired, which submits a job.

Every firing is a row: with its job, or with the reason why it has none, or waiting for the job of an earlier one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec, Submitted
from gfi.domain.states import ACTIVE, ControlKind
from gfi.store.database import Database, insert, now
from gfi.store.errors import Conflict, Missed, NotFound, StoreError, Transient, Unchanged
from gfi.store.ledger.audit import record
from gfi.store.ledger.control_requests import request_task_in
from gfi.store.ledger.jobs import cancel_in
from gfi.store.ledger.outbox import announce_firing
from gfi.store.ledger.submission import submit_in
from gfi.store.tables import firings, jobs, schedules


@dataclass(frozen=True)
class Fired:
    """What became of a firing: `submitted`, or the `reason` why it has no job; neither while it waits."""

    submitted: Submitted | None = None
    reason: str | None = None


def add_schedule(
    db: Database,
    name: str,
    cron: str,
    zone: str,
    request: Mapping[str, Any],
    *,
    next_due: float | None,
    actor: str = "local",
    **settings: Any,
) -> str:
    """Add a schedule. Returns its id. Conflict when the name is in use.

    The caller has checked `cron`, `zone`, `request` and `settings` (every_s, trigger, settle_s, misfire, misfire_most,
    overlap, whole, follow_ups, created_at). request: the options of the jobs; each firing freezes them again, so that
    it explains the model that is registered at that time. next_due: epoch seconds; None for never.
    """
    with db.begin() as connection:
        if connection.execute(sa.select(schedules.c.id).where(schedules.c.name == name)).scalar():
            raise Conflict(f"a schedule named {name!r} exists; gfi schedule rm {name}")
        schedule_id = new_id()
        connection.execute(
            sa.insert(schedules).values(
                **{"created_at": now()}
                | settings
                | {
                    "id": schedule_id,
                    "name": name,
                    "owner": request.get("owner", ""),
                    "cron": cron,
                    "zone": zone,
                    "request": dict(request),
                    "next_due": next_due,
                }
            )
        )
        what = {"name": name, "cron": cron, "zone": zone, "every_s": settings.get("every_s")}
        record(connection, actor, "schedule.added", None, what)
        return schedule_id


def change_schedule(
    db: Database, schedule_id: str, values: Mapping[str, Any], *, actor: str = "local"
) -> None:
    """Change columns of a schedule, which the caller has checked; `next_due` among them. NotFound if it is gone."""
    with db.begin() as connection:
        mine = sa.update(schedules).where(schedules.c.id == schedule_id)
        name = connection.execute(mine.values(**values).returning(schedules.c.name)).scalar()
        if name is None:
            raise NotFound("the schedule was removed")
        shown = {key: value for key, value in values.items() if key not in ("request", "next_due")}
        record(connection, actor, "schedule.changed", None, {"name": name, **shown})


def remove_schedule(db: Database, name: str, *, actor: str = "local") -> None:
    """Remove a schedule by name or id. Its jobs stay. NotFound when there is none."""
    with db.begin() as connection:
        named = sa.or_(schedules.c.name == name, schedules.c.id == name)
        if not connection.execute(sa.delete(schedules).where(named)).rowcount:
            raise NotFound(f"no schedule {name!r}; `gfi schedule list` shows them")
        record(connection, actor, "schedule.removed", None, {"name": name})


def set_next_due(db: Database, schedule_id: str, next_due: float | None, *, was: float | None = None) -> None:
    """Record when a schedule is next due. next_due: epoch seconds; None for never.

    was: the instant from which the caller computed it. Where another is stored by now, a person has changed the
    schedule, or another scheduler was faster, and that one stays. None: not checked.
    """
    with db.begin() as connection:
        _set_next_due(connection, schedule_id, next_due, was)


def _set_next_due(
    connection: sa.Connection, schedule_id: str, next_due: float | None, was: float | None
) -> None:
    mine = sa.update(schedules).where(schedules.c.id == schedule_id)
    if was is not None:
        mine = mine.where(schedules.c.next_due == was)
    elif next_due is not None:  # of two schedulers, the later instant is right
        mine = mine.where(schedules.c.next_due < next_due)
    connection.execute(mine.values(next_due=next_due))


_KEEP = object()


def fire(
    db: Database,
    schedule_id: str,
    firing_key: str,
    spec: JobSpec | StoreError,
    *,
    next_due: Any = _KEEP,
    was: float | None = None,
    overlap: str | None = None,
    max_active_jobs: int | None = None,
) -> Fired | None:
    """Submit the job of one firing, exactly once even if several schedulers call: `firing_key` is unique per schedule.

    `spec`: the job, or the error that prevents it (its dataset is gone). `next_due`: the instant after this one,
    computed from `was` (see `set_next_due`); left as it is where none is given. overlap: what happens while a job of an
    earlier firing is active: `skip`, `queue` (the firing waits) or `cancel` (that job); None ignores it. Returns None
    when this firing was done before or the schedule was removed. An error, whether `spec` or a limit that refuses the
    job, is the reason of the firing.
    """
    with db.begin() as connection:
        if next_due is not _KEEP:
            _set_next_due(connection, schedule_id, next_due, was)
        return fire_in(
            connection, schedule_id, firing_key, spec, overlap=overlap, max_active_jobs=max_active_jobs
        )


def fire_in(
    connection: sa.Connection,
    schedule_id: str,
    firing_key: str,
    spec: JobSpec | StoreError,
    *,
    overlap: str | None = None,
    max_active_jobs: int | None = None,
) -> Fired | None:
    """`fire` within a transaction."""
    if not _first(connection, schedule_id, firing_key):
        return None
    return _fire(connection, schedule_id, firing_key, spec, overlap, max_active_jobs)


def request_look(
    db: Database, schedule_id: str, *, owner: str, next_due: float | None, was: float | None = None
) -> None:
    """(nothing) → pending: a `look` at the dataset of a schedule, unless one is under way; and when the next is due."""
    with db.begin() as connection:
        _set_next_due(connection, schedule_id, next_due, was)
        request_task_in(connection, ControlKind.LOOK, {"schedule": schedule_id}, owner=owner)


def remember_listing(connection: sa.Connection, schedule_id: str, watched: Mapping[str, Any]) -> None:
    """What was seen of the dataset of a schedule, within the commit of a look."""
    mine = sa.update(schedules).where(schedules.c.id == schedule_id)
    connection.execute(mine.values(watched=dict(watched)))


def fire_waiting(
    db: Database,
    schedule_id: str,
    firing_key: str,
    spec: JobSpec | StoreError,
    *,
    max_active_jobs: int | None = None,
) -> Fired | None:
    """Submit the job of a firing that waited. None when another scheduler was first, or a job is active again."""
    with db.begin() as connection:
        lock = sa.select(schedules.c.id).where(schedules.c.id == schedule_id).with_for_update()
        if connection.execute(lock).scalar() is None or _active_job(connection, schedule_id) is not None:
            return None
        mine = _named(schedule_id, firing_key)
        waits = sa.update(firings).where(mine, firings.c.waiting).values(waiting=False)
        if connection.execute(waits.returning(firings.c.firing_key)).scalar() is None:
            return None
        return _fire(connection, schedule_id, firing_key, spec, None, max_active_jobs)


def _fire(
    connection: sa.Connection,
    schedule_id: str,
    firing_key: str,
    spec: JobSpec | StoreError,
    overlap: str | None,
    max_active_jobs: int | None,
) -> Fired:
    fired = Fired()
    values: dict[str, Any] = {"waiting": True}
    active = _active_job(connection, schedule_id) if overlap is not None else None
    if active is None or overlap == "cancel" or isinstance(spec, StoreError):
        try:
            if isinstance(spec, StoreError):
                raise spec
            with connection.begin_nested():
                if active is not None:
                    cancel_in(connection, active, "schedule")
                submitted = submit_in(connection, spec, max_active_jobs=max_active_jobs)
        except StoreError as error:
            fired, values = Fired(reason=str(error)), {"error": str(error)}
            if not isinstance(error, Unchanged):
                kind = "firing.missed" if isinstance(error, Missed) else "firing.held"
                announce_firing(connection, schedule_id, firing_key, kind, str(error))
        else:
            fired = Fired(submitted)
            values = {"job_id": submitted.job_id, **_to_follow(connection, schedule_id)}
    elif overlap == "skip":
        reason = f"skipped: job {active} of an earlier firing is still active"
        fired, values = Fired(reason=reason), {"error": reason}
    connection.execute(sa.update(firings).where(_named(schedule_id, firing_key)).values(**values))
    return fired


def _to_follow(connection: sa.Connection, schedule_id: str) -> dict[str, Any]:
    """Columns of a firing whose job has just been submitted: what is to follow it, as the schedule says now."""
    wanted = sa.select(schedules.c.follow_ups).where(schedules.c.id == schedule_id)
    follow_ups = connection.execute(wanted).scalar()
    return {"follow_ups": follow_ups, "following": True} if follow_ups else {}


def begin_follow_up(
    db: Database,
    schedule_id: str,
    firing_key: str,
    name: str,
    begin: Callable[[sa.Connection], Mapping[str, Any]],
) -> Mapping[str, Any] | None:
    """Begin one follow-up of a firing, exactly once even if several schedulers call.

    begin: called in the transaction that records what it returns under `name`. A StoreError that it raises is recorded
    as {"reason": …}. Returns what was recorded; None where it was recorded before, or the schedule was removed.
    """
    with db.begin() as connection:
        row = connection.execute(
            sa.select(firings.c.follow_ups, firings.c.followed)
            .where(_named(schedule_id, firing_key), firings.c.following)
            .with_for_update()
        ).one_or_none()
        if row is None or name not in row.follow_ups or name in (row.followed or {}):
            return None
        try:
            with connection.begin_nested():
                outcome: Mapping[str, Any] = begin(connection)
        except Transient:
            raise
        except StoreError as error:
            outcome = {"reason": str(error)}
        followed = {**(row.followed or {}), name: dict(outcome)}
        values = {"followed": followed, "following": set(followed) != set(row.follow_ups)}
        connection.execute(sa.update(firings).where(_named(schedule_id, firing_key)).values(**values))
        return outcome


def _active_job(connection: sa.Connection, schedule_id: str) -> str | None:
    """The newest active job of a schedule."""
    query = (
        sa.select(jobs.c.id)
        .join(firings, firings.c.job_id == jobs.c.id)
        .where(firings.c.schedule_id == schedule_id, jobs.c.state.in_(sorted(ACTIVE)))
        .order_by(jobs.c.id.desc())
        .limit(1)
    )
    active: str | None = connection.execute(query).scalar()
    return active


def _named(schedule_id: str, firing_key: str) -> sa.ColumnElement[bool]:
    return sa.and_(firings.c.schedule_id == schedule_id, firings.c.firing_key == firing_key)


def _first(connection: sa.Connection, schedule_id: str, firing_key: str) -> bool:
    # Locked, so that two firings of one schedule do not both find no active job.
    known = sa.select(schedules.c.id).where(schedules.c.id == schedule_id).with_for_update()
    if connection.execute(known).scalar() is None:
        return False
    statement = insert(connection, firings).values(schedule_id=schedule_id, firing_key=firing_key, at=now())
    # RETURNING, since the rowcount of psycopg is always -1 for this statement.
    inserted = statement.on_conflict_do_nothing().returning(firings.c.firing_key)
    return connection.execute(inserted).scalar() is not None

"""Fires schedules: each due instant becomes one job, however many schedulers run.

The next due instant of each schedule is stored, so a tick reads only the schedules that are due. (With 25 schedules of
every minute, walking two days of instants for each of them took 12 s at every tick.) A firing is identified by its
instant in UTC, which is unique in the ledger.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import structlog

from gfi.jobs.schedules import spec_for_firing
from gfi.jobs.submit import Invalid
from gfi.jobs.timing import MISSED_S, Timing, name_of
from gfi.store import ledger, queries, tracing
from gfi.store.database import Database
from gfi.store.errors import Missed
from gfi.store.ledger.schedules import Fired
from gfi.store.settings import Settings

log = structlog.get_logger(__name__)


def fire_due(database: Database, settings: Settings) -> list[str]:
    """Fire every due schedule that has not been fired yet, and the firings that waited for a job that has ended.

    Returns the ids of the new jobs. To be called about every second.
    """
    jobs = list(_fire_waiting(database, settings))
    for row in queries.due_schedules(database):
        now = row["now"]
        try:
            timing = Timing.of(row)
            next_due = timing.next_due(now)
            most = row["misfire_most"] if row["misfire"] == "all" else 1
            # One second before the stored instant, so that it counts itself. 0 is stored where it is not known yet.
            due, number = timing.due(max(row["created_at"], row["next_due"] - 1.0), now, most)
        except ValueError as error:  # its time zone is no longer known on this machine; the others still fire
            log.warning("schedule cannot be read", schedule=row["name"], reason=str(error))
            continue
        if not due:
            ledger.set_next_due(database, row["id"], next_due)
            continue
        if row["trigger"] == "data":
            ledger.request_look(database, row["id"], owner=row["owner"], next_due=next_due)
            continue
        if number > len(due):
            log.warning("firings were missed", schedule=row["name"], missed=number - len(due))
        for instant in due:
            missed = row["misfire"] == "skip" and now - instant > MISSED_S
            spec = (
                Missed(f"missed: no scheduler fired it within {MISSED_S:.0f} s, {number} were due by then")
                if missed
                else spec_for_firing(database, settings, row, instant)
            )
            fired = ledger.fire(
                database,
                row["id"],
                name_of(instant),
                spec,
                next_due=next_due,
                overlap=row["overlap"],
                max_active_jobs=settings.max_active_jobs,
            )
            jobs += _told(row, name_of(instant), fired)
    return jobs


def _fire_waiting(database: Database, settings: Settings) -> Iterator[str]:
    for row in queries.waiting_firings(database):
        key = row["firing_key"]
        due = database.now() if key.startswith("now-") else datetime.fromisoformat(key).timestamp()
        try:
            spec: Any = spec_for_firing(database, settings, row, due)
        except ValueError as error:
            spec = Invalid(str(error))
        fired = ledger.fire_waiting(database, row["id"], key, spec, max_active_jobs=settings.max_active_jobs)
        yield from _told(row, key, fired)


def _told(row: Mapping[str, Any], key: str, fired: Fired | None) -> list[str]:
    """Log what became of a firing. Returns its job, if it has one."""
    if fired is None:
        return []
    if fired.submitted is not None:
        if fired.submitted.created:
            tracing.submitted(fired.submitted.job_id, time.time_ns(), schedule=row["name"])
        log.info("schedule fired", schedule=row["name"], due=key, job=fired.submitted.job_id)
        return [fired.submitted.job_id]
    if fired.reason is not None:
        log.warning("schedule refused", schedule=row["name"], due=key, reason=fired.reason)
    return []

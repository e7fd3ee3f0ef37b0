"""Fires schedules: each due instant becomes one job, however many schedulers run.

The next due instant of each schedule is stored, so a tick reads only the schedules that are due. (With 25 schedules of
every minute, walking two days of instants for each of them took 12 s at every tick.) A firing is identified by its
instant in UTC, which is unique in the ledger.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from gfi.datasets.errors import Unavailable
from gfi.jobs.schedules import spec_for_firing
from gfi.jobs.timing import MISSED_S, Timing, name_of
from gfi.store import ledger, queries, tracing
from gfi.store.database import Database
from gfi.store.errors import Missed
from gfi.store.ledger.schedules import Fired
from gfi.store.others_go_on import others_go_on
from gfi.store.settings import Settings

log = structlog.get_logger(__name__)

UNAVAILABLE_S = 60.0
"""A schedule whose dataset is on a store that does not answer is tried again after this many seconds: each attempt may
take half a minute, in which no other schedule fires."""


def fire_due(database: Database, settings: Settings, waits: dict[str, float] | None = None) -> list[str]:
    """Fire every due schedule that has not been fired yet, and the firings that waited for a job that has ended.

    Returns the ids of the new jobs. To be called about every second. A schedule that cannot be read does not hold up
    the others; one whose dataset cannot be reached now stays due, and is tried again after `UNAVAILABLE_S`: `waits`,
    which the caller keeps from one call to the next, says when, by `time.monotonic`. What waited so is not missed.
    """
    waits = {} if waits is None else waits
    waited = set(waits)
    jobs: list[str] = []
    for fire, rows in ((_fire_waiting, queries.waiting_firings), (_fire, queries.due_schedules)):
        for row in rows(database):
            if time.monotonic() < waits.get(row["id"], 0.0):
                continue
            with others_go_on("schedule not fired", schedule=row["name"]):
                try:
                    jobs += fire(database, settings, row, row["id"] in waited)
                    waits.pop(row["id"], None)
                except Unavailable as error:
                    log.warning("schedule waits for its dataset", schedule=row["name"], reason=str(error))
                    waits[row["id"]] = time.monotonic() + UNAVAILABLE_S
    return jobs


def _fire(database: Database, settings: Settings, row: Mapping[str, Any], waited: bool) -> list[str]:
    """waited: for its dataset, with a scheduler there in time."""
    now = row["now"]
    try:
        timing = Timing.of(row)
        next_due = timing.next_due(now)
        most = row["misfire_most"] if row["misfire"] == "all" else 1
        # One second before the stored instant, so that it counts itself. 0 is stored where it is not known yet.
        due, number = timing.due(max(row["created_at"], row["next_due"] - 1.0), now, most)
    except ValueError as error:  # its time zone is no longer known on this machine
        log.warning("schedule cannot be read", schedule=row["name"], reason=str(error))
        return []
    if not due:
        ledger.set_next_due(database, row["id"], next_due, was=row["next_due"])
        return []
    if row["trigger"] == "data":
        ledger.request_look(database, row["id"], owner=row["owner"], next_due=next_due, was=row["next_due"])
        return []
    if number > len(due):
        log.warning("firings were missed", schedule=row["name"], missed=number - len(due))
    jobs: list[str] = []
    for instant in due:
        missed = row["misfire"] == "skip" and now - instant > MISSED_S and not waited
        spec = (
            Missed(f"missed: no scheduler fired it within {MISSED_S:.0f} s, {number} were due by then")
            if missed
            else spec_for_firing(database, settings, row, instant)
        )
        # Only with the last instant: a scheduler that ends in between has left the others due.
        last = {"next_due": next_due, "was": row["next_due"]} if instant == due[-1] else {}
        fired = ledger.fire(
            database,
            row["id"],
            name_of(instant),
            spec,
            overlap=row["overlap"],
            max_active_jobs=settings.max_active_jobs,
            **last,
        )
        jobs += _told(row, name_of(instant), fired)
    return jobs


def _fire_waiting(database: Database, settings: Settings, row: Mapping[str, Any], waited: bool) -> list[str]:
    del waited  # it waits for a job as well
    key = row["firing_key"]
    due = database.now() if key.startswith("now-") else datetime.fromisoformat(key).timestamp()
    spec = spec_for_firing(database, settings, row, due)
    fired = ledger.fire_waiting(database, row["id"], key, spec, max_active_jobs=settings.max_active_jobs)
    return _told(row, key, fired)


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

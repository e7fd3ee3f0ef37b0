"""Jobs by the calendar: cron lines with a time zone, fired once each whoever is running.

    add(database, settings, "nightly", "0 2 * * *", "Europe/Berlin", request)

The times are those of cronsim, which follows Debian through changes of the clocks: 02:30 fires once on a night that has
two of them. A firing is named by its instant in UTC and that name is unique in the ledger, so any number of schedulers
fire it once. After an outage the latest missed instant fires, the ones before it do not: nobody wants last week's job
seven times.

What is kept is the request as a person words it. It is frozen into a configuration when it fires, so a model that was
registered anew since is explained as it is then. Each firing is a job of its own, even while the one before still runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from cronsim import CronSim, CronSimError

from datasets.errors import DatasetError
from gfi.errors import MethodError
from scheduler.submission import Invalid, JobRequest, freeze, request_from, spec_of
from store import ledger, queries
from store.database import Database
from store.errors import StoreError, Transient
from store.records import JobSpec
from store.settings import Settings

log = structlog.get_logger(__name__)

# How far back a missed instant is looked for: a monthly job survives an outage over the turn of the month.
CATCH_UP = timedelta(days=2)


@dataclass(frozen=True)
class Schedule:
    """A schedule and when it is next due, in epoch seconds; None when never (31 February)."""

    id: str
    name: str
    cron: str
    zone: str
    paused: bool
    request: Mapping[str, Any]
    created_at: float
    next_at: float | None


def add(
    database: Database,
    settings: Settings,
    name: str,
    cron: str,
    zone: str,
    request: JobRequest,
    *,
    actor: str,
) -> Schedule:
    """Check everything a firing will need and store the schedule. Raises Invalid, Conflict or DatasetError."""
    if not name or len(name) > 100:
        raise Invalid("a schedule has a name of 1 to 100 characters")
    _cron(cron, zone, datetime.now(UTC))
    freeze(database, settings, request)
    ledger.add_schedule(database, name, cron, zone, request.model_dump(mode="json"), actor=actor)
    return next(each for each in listed(database) if each.name == name)


def listed(database: Database) -> list[Schedule]:
    """Every schedule by name, with its next instant."""
    now = datetime.fromtimestamp(database.now(), UTC)
    fields = ("id", "name", "cron", "zone", "paused", "request", "created_at")
    return [
        Schedule(**{field: row[field] for field in fields}, next_at=_next(row["cron"], row["zone"], now))
        for row in queries.list_schedules(database)
    ]


def remove(database: Database, name: str, *, actor: str) -> None:
    """Remove a schedule by name or id. Raises NotFound."""
    ledger.remove_schedule(database, name, actor=actor)


def fire_due(database: Database, settings: Settings) -> list[str]:
    """Fire what is due and was not fired yet; the ids of the new jobs. To be called about every second."""
    fired = []
    rows = queries.list_schedules(database)
    now = datetime.fromtimestamp(database.now(), UTC) if rows else datetime.now(UTC)
    for row in rows:
        if row["paused"]:
            continue
        due = last_due(row["cron"], row["zone"], datetime.fromtimestamp(row["created_at"], UTC), now)
        if due is None or queries.was_fired(database, row["id"], due.isoformat()):
            continue
        try:
            spec: JobSpec | StoreError = _spec(database, settings, row, due)
            submitted = ledger.fire(
                database, row["id"], due.isoformat(), spec, max_active_jobs=settings.max_active_jobs
            )
        except Transient:
            raise
        except StoreError as error:
            log.warning("schedule refused", schedule=row["name"], due=due.isoformat(), reason=str(error))
            continue
        if submitted is not None:
            log.info("schedule fired", schedule=row["name"], due=due.isoformat(), job=submitted.job_id)
            fired.append(submitted.job_id)
    return fired


def last_due(cron: str, zone: str, since: datetime, now: datetime) -> datetime | None:
    """The latest instant in (max(since, now − CATCH_UP), now], in UTC; None when there is none."""
    begin = max(since, now - CATCH_UP)
    found = None
    for instant in CronSim(cron, begin.astimezone(ZoneInfo(zone))):
        if instant > now:
            return found
        found = instant.astimezone(UTC)
    return found


def _spec(
    database: Database, settings: Settings, row: Mapping[str, Any], due: datetime
) -> JobSpec | StoreError:
    try:
        request = request_from(**row["request"])
        name = request.name or f"{row['name']} {due.astimezone(ZoneInfo(row['zone'])):%Y-%m-%d %H:%M}"
        return spec_of(database, settings, request.model_copy(update={"name": name}), new=True)
    except (DatasetError, MethodError) as error:
        return Invalid(str(error))
    except Transient:
        raise
    except StoreError as error:
        return error


def _cron(cron: str, zone: str, now: datetime) -> CronSim:
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            f"{zone!r} is no time zone; name one as IANA does, for example Europe/Berlin or UTC"
        ) from None
    try:
        return CronSim(cron, now.astimezone(place))
    except CronSimError as error:
        raise Invalid(
            f"{cron!r} is no cron line: {error}; minute hour day month weekday, for example 0 2 * * 1-5"
        ) from None


def _next(cron: str, zone: str, now: datetime) -> float | None:
    return next((instant.timestamp() for instant in _cron(cron, zone, now)), None)

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
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from cronsim import CronSim, CronSimError

from gfi.jobs.submit import Invalid, JobRequest, freeze
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.settings import Settings

log = structlog.get_logger(__name__)


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

"""Schedules: jobs that are submitted again and again, at the times of a cron line.

    add_schedule(database, settings, "nightly", "0 2 * * *", "Europe/Berlin", request, actor="ada")

A firing is identified by its instant in UTC, which is unique in the ledger: any number of schedulers fire it once.
After an outage only the latest missed instant fires: seven jobs after a week without schedulers would explain the same
images seven times.

The request is stored as the user gave it. It is frozen into a configuration when it fires, so that the job uses the
model that is registered at that time. Each firing is a job of its own, even while the job of the firing before still
runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gfi.jobs import cron as cron_lines
from gfi.jobs.submit import Invalid, JobRequest, freeze
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.settings import Settings


@dataclass(frozen=True)
class Schedule:
    """A schedule and when it is next due, in epoch seconds; None when never."""

    id: str
    name: str
    cron: str
    zone: str
    paused: bool
    request: Mapping[str, Any]
    created_at: float
    next_at: float | None


def add_schedule(
    database: Database,
    settings: Settings,
    name: str,
    cron: str,
    zone: str,
    request: JobRequest,
    *,
    actor: str,
) -> Schedule:
    """Check everything that a firing needs and store the schedule. Raises Invalid, Conflict or DatasetError."""
    if not name or len(name) > 100:
        raise Invalid("a schedule has a name of 1 to 100 characters")
    try:
        cron_lines.check(cron, zone)
    except ValueError as error:
        raise Invalid(str(error)) from None
    freeze(database, settings, request)
    ledger.add_schedule(
        database,
        name,
        cron,
        zone,
        request.model_dump(mode="json"),
        next_due=_next_at(cron, zone, database.now()),
        actor=actor,
    )
    return next(schedule for schedule in list_schedules(database) if schedule.name == name)


def list_schedules(database: Database) -> list[Schedule]:
    """Every schedule by name, with its next instant."""
    now = database.now()
    fields = ("id", "name", "cron", "zone", "paused", "request", "created_at")
    return [
        Schedule(**{field: row[field] for field in fields}, next_at=_next_at(row["cron"], row["zone"], now))
        for row in queries.list_schedules(database)
    ]


def remove_schedule(database: Database, name: str, *, actor: str) -> None:
    """Remove a schedule by name or id. Raises NotFound."""
    ledger.remove_schedule(database, name, actor=actor)


def _next_at(cron: str, zone: str, now: float) -> float | None:
    instant = cron_lines.next_due(cron, zone, datetime.fromtimestamp(now, UTC))
    return instant.timestamp() if instant else None

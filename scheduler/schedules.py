"""Fires schedules: each due instant becomes one job, however many schedulers run.

The next due instant of each schedule is stored, so a tick reads only the schedules that are due. (With 25 schedules of
every minute, walking two days of instants for each of them took 12 s at every tick.) A firing is identified by its
instant in UTC, which is unique in the ledger.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from gfi.datasets.errors import DatasetError
from gfi.domain.errors import MethodError
from gfi.domain.records import JobSpec
from gfi.jobs import cron
from gfi.jobs.submit import Invalid, request_from, spec_of
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.settings import Settings

log = structlog.get_logger(__name__)


def fire_due(database: Database, settings: Settings) -> list[str]:
    """Fire every due schedule that has not been fired yet; returns the ids of the new jobs. To be called about every
    second."""
    jobs = []
    for row in queries.due_schedules(database):
        now = datetime.fromtimestamp(row["now"], UTC)
        try:
            following = cron.next_due(row["cron"], row["zone"], now)
            due = _latest_due(row, now)
        except ValueError as error:  # its time zone is no longer known on this machine; the others still fire
            log.warning("schedule cannot be read", schedule=row["name"], reason=str(error))
            continue
        next_due = following.timestamp() if following else None
        if due is None:  # it was due too long ago to be caught up
            ledger.set_next_due(database, row["id"], next_due)
            continue
        try:
            submitted = ledger.fire(
                database,
                row["id"],
                due.isoformat(),
                spec_for_firing(database, settings, row, due),
                next_due=next_due,
                max_active_jobs=settings.max_active_jobs,
            )
        except Transient:
            raise
        except StoreError as error:
            log.warning("schedule refused", schedule=row["name"], due=due.isoformat(), reason=str(error))
            continue
        if submitted is not None:
            log.info("schedule fired", schedule=row["name"], due=due.isoformat(), job=submitted.job_id)
            jobs.append(submitted.job_id)
    return jobs


def _latest_due(row: Mapping[str, Any], now: datetime) -> datetime | None:
    """The latest of the instants that have passed since the schedule was last checked; the others are skipped."""
    # One second before the stored instant, so that it counts itself. 0 is stored where it is not known yet.
    since = max(row["created_at"], row["next_due"] - 1.0)
    return cron.last_due(row["cron"], row["zone"], datetime.fromtimestamp(since, UTC), now)


def spec_for_firing(
    database: Database, settings: Settings, row: Mapping[str, Any], due: datetime
) -> JobSpec | StoreError:
    """The job of one firing, or the reason why there is none."""
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

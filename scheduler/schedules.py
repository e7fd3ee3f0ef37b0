"""Firing schedules: what is due becomes a job, once, however many schedulers look.

A firing is named by its instant in UTC and that name is unique in the ledger.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from cronsim import CronSim

from gfi.datasets.errors import DatasetError
from gfi.domain.errors import MethodError
from gfi.domain.records import JobSpec
from gfi.jobs.submit import Invalid, request_from, spec_of
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.settings import Settings

log = structlog.get_logger(__name__)

# How far back a missed instant is looked for: a monthly job survives an outage over the turn of the month.
CATCH_UP = timedelta(days=2)


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
            spec: JobSpec | StoreError = spec_for_firing(database, settings, row, due)
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


def spec_for_firing(
    database: Database, settings: Settings, row: Mapping[str, Any], due: datetime
) -> JobSpec | StoreError:
    """The job of one firing, or why there can be none."""
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

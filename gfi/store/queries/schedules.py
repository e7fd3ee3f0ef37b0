"""Schedules and their firings."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import ACTIVE, TERMINAL, JobState
from gfi.store.database import Database, now
from gfi.store.errors import NotFound
from gfi.store.queries.fetching import fetch
from gfi.store.tables import firings, jobs, schedules


def list_schedules(db: Database) -> list[JSON]:
    """Schedules by name."""
    return fetch(db, sa.select(schedules).order_by(schedules.c.name))


def schedule_row(db: Database, schedule_id: str) -> JSON:
    """One schedule by its id. Raises NotFound."""
    rows = fetch(db, sa.select(schedules).where(schedules.c.id == schedule_id))
    if not rows:
        raise NotFound("the schedule was removed")
    return rows[0]


def active_job_of(db: Database, schedule_id: str) -> str | None:
    """An active job of a schedule; None if there is none."""
    query = (
        sa.select(jobs.c.id)
        .join(firings, firings.c.job_id == jobs.c.id)
        .where(firings.c.schedule_id == schedule_id, jobs.c.state.in_(sorted(ACTIVE)))
    )
    with db.read() as connection:
        found: str | None = connection.execute(query.limit(1)).scalar()
    return found


def due_schedules(db: Database) -> list[JSON]:
    """Schedules that are due and not paused, the longest due first, each with the database's time as `now`."""
    due = sa.and_(~schedules.c.paused, schedules.c.next_due <= now())
    query = sa.select(schedules, now().label("now")).where(due)
    return fetch(db, query.order_by(schedules.c.next_due, schedules.c.id))


def list_firings(db: Database, schedule_id: str, limit: int = 20) -> list[JSON]:
    """The last firings of a schedule, newest first: {firing_key, job_id, state, error, waiting, at, follow_ups,
    followed, following}."""
    query = (
        sa.select(firings, jobs.c.state)
        .outerjoin(jobs, jobs.c.id == firings.c.job_id)
        .where(firings.c.schedule_id == schedule_id)
        .order_by(firings.c.at.desc(), firings.c.firing_key.desc())
        .limit(limit)
    )
    return fetch(db, query)


def waiting_firings(db: Database) -> list[JSON]:
    """For each schedule whose jobs have all ended, its first waiting firing: the schedule and `firing_key`."""
    active = (
        sa.exists()
        .where(jobs.c.state.in_(sorted(ACTIVE)), jobs.c.id == _others.c.job_id)
        .where(_others.c.schedule_id == schedules.c.id)
    )
    query = (
        sa.select(schedules, firings.c.firing_key)
        .join(firings, firings.c.schedule_id == schedules.c.id)
        .where(firings.c.waiting, ~active, ~schedules.c.paused)
        .order_by(firings.c.at, firings.c.firing_key)
    )
    first: dict[str, JSON] = {}
    for row in fetch(db, query):
        first.setdefault(row["id"], row)
    return list(first.values())


def firings_to_follow(db: Database) -> list[JSON]:
    """Firings whose job has ended and that something is still to follow, the oldest first: {schedule_id, firing_key,
    job_id, state, owner, name, follow_ups, followed}. owner and name: of the schedule."""
    query = (
        sa.select(firings, jobs.c.state, schedules.c.owner, schedules.c.name)
        .join(jobs, jobs.c.id == firings.c.job_id)
        .join(schedules, schedules.c.id == firings.c.schedule_id)
        .where(firings.c.following, jobs.c.state.in_(sorted(TERMINAL)))
        .order_by(firings.c.at, firings.c.firing_key)
    )
    return fetch(db, query)


def schedule_address_on(db: Database, schedule_id: str, channel: str) -> str | None:
    """The address on a channel that is told about a schedule's firings without a job; None when there is none."""
    with db.read() as connection:
        mine = schedules.c.id == schedule_id
        request = connection.execute(sa.select(schedules.c.request).where(mine)).scalar() or {}
    return request.get(channel)


_others = firings.alias("others")
_WITH_RESULTS = (JobState.SUCCEEDED.value, JobState.PARTIAL.value)


def old_jobs_of(db: Database, schedule_id: str, runs: int) -> list[str]:
    """The ended jobs of a schedule that are older than its newest `runs` with results, the oldest first."""
    mine = (
        sa.select(jobs.c.id, jobs.c.state)
        .join(firings, firings.c.job_id == jobs.c.id)
        .where(firings.c.schedule_id == schedule_id)
        .distinct()
        .order_by(jobs.c.id.desc())
    )
    old, newer = [], 0
    for row in fetch(db, mine):
        if newer >= runs and row["state"] in TERMINAL:
            old.append(row["id"])
        newer += row["state"] in _WITH_RESULTS
    return old[::-1]


def job_before(db: Database, schedule_id: str, job_id: str) -> str | None:
    """The newest job of a schedule before this one that ended with results. None if there is none."""
    query = (
        sa.select(jobs.c.id)
        .join(firings, firings.c.job_id == jobs.c.id)
        .where(firings.c.schedule_id == schedule_id, jobs.c.state.in_(_WITH_RESULTS), jobs.c.id < job_id)
    )
    with db.read() as connection:
        found: str | None = connection.execute(query.order_by(jobs.c.id.desc()).limit(1)).scalar()
    return found


def last_job(db: Database, schedule_id: str, *, finished: bool) -> str | None:
    """The newest job of a schedule; `finished`: the newest that ended with results. None if there is none."""
    query = (
        sa.select(jobs.c.id)
        .join(firings, firings.c.job_id == jobs.c.id)
        .where(firings.c.schedule_id == schedule_id)
    )
    if finished:
        query = query.where(jobs.c.state.in_(_WITH_RESULTS))
    with db.read() as connection:
        found: str | None = connection.execute(query.order_by(jobs.c.id.desc()).limit(1)).scalar()
    return found

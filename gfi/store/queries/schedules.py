"""Schedules."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database, now
from gfi.store.queries.fetching import fetch
from gfi.store.tables import schedules


def list_schedules(db: Database) -> list[JSON]:
    """Schedules by name."""
    return fetch(db, sa.select(schedules).order_by(schedules.c.name))


def due_schedules(db: Database) -> list[JSON]:
    """Schedules that are due and not paused, the longest due first, each with the database's time as `now`."""
    due = sa.and_(~schedules.c.paused, schedules.c.next_due <= now())
    query = sa.select(schedules, now().label("now")).where(due)
    return fetch(db, query.order_by(schedules.c.next_due, schedules.c.id))

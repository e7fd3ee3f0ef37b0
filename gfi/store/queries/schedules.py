"""Schedules and their firings."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import (
    firings,
    schedules,
)


def list_schedules(db: Database) -> list[JSON]:
    """Schedules by name."""
    return fetch(db, sa.select(schedules).order_by(schedules.c.name))


def was_fired(db: Database, schedule_id: str, firing_key: str) -> bool:
    """Whether this instant of a schedule was had already: spares the ledger a transaction every tick."""
    query = sa.select(firings.c.at).where(
        firings.c.schedule_id == schedule_id, firings.c.firing_key == firing_key
    )
    with db.read() as connection:
        return connection.execute(query).scalar() is not None

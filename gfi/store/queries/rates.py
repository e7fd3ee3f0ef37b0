"""Measured rates."""

import sqlalchemy as sa

from gfi.store.database import Database
from gfi.store.tables import (
    rates,
)


def measured_rate(db: Database, digest: str, device_kind: str | None = None) -> float | None:
    """Images per second last measured for this kind of work; the slowest device's when none is named."""
    query = sa.select(sa.func.min(rates.c.images_per_s)).where(rates.c.digest == digest)
    if device_kind is not None:
        query = query.where(rates.c.device_kind == device_kind)
    with db.read() as connection:
        return connection.execute(query).scalar()

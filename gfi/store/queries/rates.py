"""Measured rates."""

import sqlalchemy as sa

from gfi.store.database import Database
from gfi.store.tables import rates


def measured_rate(db: Database, digest: str, device_kind: str | None = None) -> float | None:
    """Images per second last measured for this kind of work; the lowest of all kinds of devices when none is named.

    None if nothing was measured. digest: `JobConfig.work_digest()`.
    """
    query = sa.select(sa.func.min(rates.c.images_per_s)).where(rates.c.digest == digest)
    if device_kind is not None:
        query = query.where(rates.c.device_kind == device_kind)
    with db.read() as connection:
        return connection.execute(query).scalar()

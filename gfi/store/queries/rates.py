"""Measured rates."""

from collections.abc import Sequence

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


def measured_memory(db: Database, digest: str) -> dict[str, float]:
    """Bytes of one image of this kind of work in float32, by the kinds of devices on which that was measured."""
    query = sa.select(rates.c.device_kind, rates.c.image_bytes).where(
        rates.c.digest == digest, rates.c.image_bytes.is_not(None)
    )
    with db.read() as connection:
        return {kind: float(image_bytes) for kind, image_bytes in connection.execute(query)}


def rates_of(db: Database, digests: Sequence[str]) -> dict[str, dict[str, float]]:
    """Images per second by kind of device, for each of these kinds of work that was measured."""
    query = sa.select(rates.c.digest, rates.c.device_kind, rates.c.images_per_s)
    known: dict[str, dict[str, float]] = {}
    with db.read() as connection:
        for row in connection.execute(query.where(rates.c.digest.in_(digests))):
            known.setdefault(row.digest, {})[row.device_kind] = float(row.images_per_s)
    return known

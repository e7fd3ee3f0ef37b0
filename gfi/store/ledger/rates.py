"""The speed of each kind of work on each kind of device."""

import sqlalchemy as sa

from gfi.store.database import Database, now, upsert
from gfi.store.tables import rates


def save_rate(
    db: Database, digest: str, device_kind: str, images_per_s: float, image_bytes: float | None = None
) -> None:
    """Store a measured rate, smoothed over the last few measurements.

    digest: `JobConfig.work_digest()`. image_bytes: memory of one image, the last one measured; None leaves it as it is.
    """
    with db.begin() as connection:
        same = sa.and_(rates.c.digest == digest, rates.c.device_kind == device_kind)
        before = connection.execute(sa.select(rates.c.images_per_s).where(same)).scalar()
        rate = images_per_s if before is None else 0.7 * before + 0.3 * images_per_s
        row = {
            "digest": digest,
            "device_kind": device_kind,
            "images_per_s": rate,
            "updated_at": connection.execute(sa.select(now())).scalar_one(),
        }
        if image_bytes is not None:
            row["image_bytes"] = image_bytes
        upsert(connection, rates, [row], ("digest", "device_kind"))

"""What work takes: measured rates, and seconds for which a job had devices."""

from collections.abc import Sequence

import sqlalchemy as sa

from gfi.domain.states import ControlKind, ShardState
from gfi.store.database import Database
from gfi.store.tables import control_tasks, in_state, rates, shards


def measured_rate(db: Database, digest: str, device_kind: str | None = None) -> float | None:
    """Images per second last measured for this kind of work; the lowest of all kinds of devices when none is named.

    None if nothing was measured. digest: `JobConfig.work_digest()`.
    """
    query = sa.select(sa.func.min(rates.c.images_per_s)).where(rates.c.digest == digest)
    if device_kind is not None:
        query = query.where(rates.c.device_kind == device_kind)
    with db.read() as connection:
        return connection.execute(query).scalar()


def device_seconds(db: Database, job_id: str) -> float:
    """Seconds for which a job's shards and the tests of its audits had a device, each in its last lease."""
    seconds = 0.0
    tests = sa.and_(control_tasks.c.job_id == job_id, control_tasks.c.kind == ControlKind.CONFIRM.value)
    with db.read() as connection:
        for table, mine in ((shards, shards.c.job_id == job_id), (control_tasks, tests)):
            until = sa.case((in_state(table, ShardState.DONE), table.c.done_at), else_=table.c.renewed_at)
            took = sa.select(sa.func.coalesce(sa.func.sum(until - table.c.leased_at), 0.0)).where(mine)
            seconds += float(connection.execute(took).scalar_one())
    return seconds


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

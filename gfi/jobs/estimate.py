"""Estimates the cost of a job before it is submitted: its images are counted, and its time follows from measured
rates."""

import math
import time
from dataclasses import dataclass, field

import sqlalchemy as sa

from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import Source
from gfi.domain.job import JobConfig
from gfi.jobs.sharding import shard_size
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.settings import Settings
from gfi.store.tables import rates

COUNT_S = 3.0
"""How long an estimate counts images: a listing of millions is not read to its end."""
ROW_BYTES = 420
"""Bytes of a part for each image besides its grid, measured on the samples (zstd, keys of 20 letters, metrics)."""


@dataclass(frozen=True)
class Estimate:
    """What a job would take.

    images: in the listing, or counted so far where it is not `complete`. device_seconds: on the slowest kind of device
    with a measured rate; None if there is no rate. bucket_bytes: of the parts, without saved pictures.
    """

    images: int
    complete: bool
    shards: int
    images_per_s: float | None
    device_seconds: float | None
    bucket_bytes: int
    per_device_kind: dict[str, float] = field(default_factory=dict)


def count(
    source: Source, most: int | None = None, seconds: float = COUNT_S, notes: ListingNotes | None = None
) -> tuple[int, bool]:
    """(images, whether all were counted). Stops after `seconds` or at `most`. DatasetError as listing raises.

    notes: records what the listing leaves out and decides, as far as it was read.
    """
    end = time.monotonic() + seconds
    images = 0
    for _ in source.list(notes):
        images += 1
        if (most is not None and images >= most) or (images % 256 == 0 and time.monotonic() > end):
            return images, False
    return images, True


def estimate(
    database: Database, settings: Settings, config: JobConfig, images: int, complete: bool
) -> Estimate:
    """The estimate for a frozen configuration and the images of its dataset, as `count` returns them."""
    key = config.work_digest()
    rate = queries.measured_rate(database, key)
    size = shard_size(images, rate, settings.shard_seconds, config.batch)
    with database.read() as connection:
        known = connection.execute(
            sa.select(rates.c.device_kind, rates.c.images_per_s).where(rates.c.digest == key)
        )
        kinds = {row.device_kind: float(row.images_per_s) for row in known}
    return Estimate(
        images=images,
        complete=complete,
        shards=math.ceil(images / size),
        images_per_s=rate,
        device_seconds=images / rate if rate else None,
        bucket_bytes=images * config.top * (ROW_BYTES + _grid_bytes(database, config)),
        per_device_kind=kinds,
    )


def _grid_bytes(database: Database, config: JobConfig) -> int:
    model = queries.find_model(database, config.model.reference)
    shapes = {layer["name"]: layer["shape"] for layer in (model.record["layers"] if model else [])}
    sizes = [
        math.prod(shape[-2:])
        for layer in config.layers.mask_layers
        if (shape := shapes.get(layer.partition(":")[0])) and len(shape) >= 2
    ]
    return 4 * max(sizes, default=196)

"""Divides a job into shards: stretches [start, stop) of its manifest that take a worker about a minute."""

import math
from collections.abc import Iterator

FIRST_SHARD = 64
"""Images of a shard if no rate has been measured yet. It need not be exact: a shard that is too long is committed in
prefixes, and one that is too short costs an additional claim and part."""
LARGEST_SHARD = 4096
MOST_SHARDS = 40_000
"""Shards of one job at most; a larger job has larger shards. Each is a part, and 40,000 uploads cost 0.20 USD at the
list price of S3 (docs/scale.md). A shard that therefore takes long is committed in prefixes."""


def shard_bounds(total: int, size: int) -> Iterator[tuple[int, int]]:
    """[0, size), [size, 2·size) … [.., total)."""
    for start in range(0, total, size):
        yield start, min(start + size, total)


def shard_size(images: int, images_per_s: float | None, seconds: float, batch: int | None) -> int:
    """How many images a worker explains in about `seconds`, as a whole number of batches."""
    batch = batch or 8
    wanted = FIRST_SHARD if not images_per_s else min(LARGEST_SHARD, images_per_s * seconds)
    return batch * max(1, round(wanted / batch), math.ceil(images / (MOST_SHARDS * batch)))

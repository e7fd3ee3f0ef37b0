"""What a job costs: prices, bytes, passes and speeds as constants, each with its source. Loads no torch.

`gfi.jobs.estimate` makes a plan of them, and `docs/scale.md` explains it. Prices are list prices, which change: the
settings `GFI_PRICE_…` and the options of `gfi estimate` replace them. A test compares the bytes with a small run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gfi.domain import methods
from gfi.domain.methods import OWN
from gfi.domain.recipes import Recipe

GB = 1e9


@dataclass(frozen=True)
class Prices:
    """US dollars. S3 Standard in us-east-1, first 50 TB, aws.amazon.com/s3/pricing as of 2025; check your own.

    device_hour: of one device with its machine; None: not known, and no cost of devices is shown. storage: a GB (1e9
    bytes) for a month. put: a thousand PUT or LIST requests. get: a thousand GET requests.
    """

    device_hour: float | None = None
    storage: float = 0.023
    put: float = 0.005
    get: float = 0.0004

    def replaced(self, **given: float | None) -> "Prices":
        """With the prices that are given (not None)."""
        return Prices(**{**vars(self), **{name: value for name, value in given.items() if value is not None}})


# Bytes. Measured 2026-11 on generated results with three metrics and keys of about 30 letters; a test measures again.
PART_FILE = 9_000
"""Of each part: its header and the descriptions of its columns."""
PART_ROW = 80
"""Of a part for each result besides its grid, which is 4 bytes a cell: zstd saves little of it."""
PART_IMAGE = 35
"""Of a part for the properties of each photograph."""
THUMBNAIL = 1_230
"""Of a thumbnail, if they are stored: 100 photographs (docs/parts.md)."""
FEATURES: Mapping[str, int] = {"projected": 490, "full": 2_500, "none": 0}
"""Of the pooled features of a photograph; full: those of EfficientNet-Lite0, 1,280 numbers."""
DATABASE_ROW = {"postgresql": 540, "sqlite": 380}
"""Of the database for each result: rows, indexes, sums, orders (PostgreSQL: benchmarks/results/scale.json)."""
PICTURE = {"png": 27_000, "overlay": 260_000, "npy": 200_832}
"""Of a saved picture, on average over the bundled photographs; npy is 4·H·W + 128 for an input of 224×224."""
DEFAULT_CELLS = 196
"""Of a grid, for a model whose record does not describe its layers: 14×14."""

# Requests, besides one PUT for each part and for each saved picture, and one GET for each photograph in S3.
JOB_PUTS = 6
"""Manifest, job.json, committed.json, report (three files)."""
COMMITTED_EVERY = 1_000
"""Shards after which committed.json is written again."""
LISTED_AT_ONCE = 1_000
"""Objects that one LIST request returns."""

# Passes. A forward pass of one image is 1; its backward pass to the image costs about as much again, because no weight
# has a gradient.
SETTLED_SHARE = 0.57
"""Share of the steps that run until the mask has settled, of recipes that check it: 18.3 of 32 on average
(docs/benchmarks.md)."""
METRIC_PASSES: Mapping[str, int] = {
    "deletion": 29,
    "insertion": 29,
    "average_drop": 2,
    "average_gain": 2,
    "photograph_fill": 58,
}
"""Forward passes of a metric that needs the network; OTHER_METRIC for one that is not named."""
OTHER_METRIC = 30

# Speed.
CPU_FLOPS = (40e9, 300e9)
"""Operations a second of a worker with two CPU cores in float32: `make bench` measured 66e9 (EfficientNet-Lite0) to
270e9 (ResNet-18) on five networks (benchmarks/results/engine.json, 2026-11)."""
SCALED = 1.5
"""Factor by which a time may be off that is computed from the rate of another preset of the same network."""

# Memory of a worker on the CPU.
CPU_BATCH = 4
"""The largest batch on a CPU. The time per image hardly depends on the batch there (EfficientNet-Lite0, `paper`, one
core: 11.3, 10.0, 10.8, 12.0 s at 1, 2, 4, 8), while memory (2 GB at 8) and the padding of the last batch grow."""
WORKER_BYTES = 600e6
"""Of a worker process with torch, without a network."""

# What breaks first as workers grow (docs/scale.md).
CONNECTIONS = 100
"""PostgreSQL's default `max_connections`."""
WORKER_CONNECTIONS = 3
"""Of one busy worker: its loop, the lease's thread, the heartbeat's."""
SERVICE_CONNECTIONS = 13
"""Of scheduler, control worker and an API that is used by a few people; PostgreSQL keeps 3 for its administrator."""
COMMITTED_PER_S = 2_500
"""Results that PostgreSQL on two cores committed in a second (benchmarks/results/scale.json)."""


def passes(recipe: Recipe) -> float:
    """Forward passes that the expected steps of one image take; the backward passes are counted as forward passes.

    >>> from gfi.domain.presets import PRESETS
    >>> passes(PRESETS["paper"])
    319
    """
    if recipe.method != OWN:
        needed = methods.passes(recipe)
        return needed.forward + needed.backward
    steps = recipe.steps_class * (SETTLED_SHARE if recipe.check_every else 1)
    start = 2 if recipe.start == "grad-cam" else 0
    # Stage 1 runs one image forward and backward, stage 2 the kept and the removed part; one pass of the photograph at
    # the start, two at the end, and two for each shifted copy.
    return 2 * recipe.steps_inversion + 4 * steps + start + 3 + methods.COPY_PASSES


def metric_passes(metrics: tuple[str, ...], need_network: frozenset[str]) -> int:
    """Forward passes that the metrics of one mask take. need_network: the names of those that need the network."""
    return sum(METRIC_PASSES.get(name, OTHER_METRIC) for name in metrics if name in need_network)


def worker_memory(parameters: int, activations: int, batch: int) -> float:
    """Bytes that a worker on the CPU needs for a network: itself, the weights twice (as loaded, and the engine's copy),
    and what autograd keeps of the kept and the removed image of each image of the batch, with half as much again for
    gradients and scratch memory."""
    return fixed_memory("cpu", parameters) + image_memory(activations) * batch


def fixed_memory(device: str, parameters: int) -> float:
    """Bytes that a network takes on a device without any image. On a card: the engine's copy of the weights."""
    return 4.0 * parameters if device.startswith("cuda") else WORKER_BYTES + 2 * 4 * parameters


def image_memory(activations: int) -> float:
    """Bytes for each image of a batch; see `worker_memory`."""
    return 1.5 * 2 * 4 * activations

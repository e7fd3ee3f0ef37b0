"""The plan of a job before it is submitted: images, time, workers, memory, bytes and costs.

Time follows from measured rates. For work that was never measured exactly, in this order:

    measured   jobs, or `gfi bench`, measured this network, method and metrics
    composed   `gfi bench` measured the network with this method and each metric: their times are added
    scaled     another preset of this network was measured: its time per forward pass, times the passes of this one
    range      nothing was measured: the operations of a forward pass, at the speeds of other networks on two CPU cores

Prices, bytes and passes are in `gfi.domain.costs`.
"""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import Source
from gfi.domain import costs, layer_names, methods
from gfi.domain.costs import Prices
from gfi.domain.job import JobConfig, wanted_pictures, work_digest
from gfi.domain.layer_names import Layers
from gfi.domain.metrics import CATALOGUE
from gfi.domain.presets import PRESETS
from gfi.jobs.sharding import shard_size
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.settings import Settings

COUNT_S = 3.0
"""How long an estimate counts images: a listing of millions is not read to its end."""
SHOWN_WORKERS = (1, 4, 16, 64)
"""Numbers of workers for which a plan says the time, if none is asked for."""
_NETWORK_METRICS = frozenset(name for name, metric in CATALOGUE.items() if metric.needs == "network")


@dataclass(frozen=True)
class Speed:
    """Images per second of one device, between `low` and `high`; equal if measured. `reason`: where they are from."""

    device_kind: str
    low: float
    high: float
    source: Literal["measured", "composed", "scaled", "range"]
    reason: str


@dataclass(frozen=True)
class WorkersTime:
    """The seconds that a job takes with so many workers, one device each."""

    workers: int
    seconds_low: float
    seconds_high: float


@dataclass(frozen=True)
class Estimate:
    """What a job would take.

    images: in the listing, or counted so far where it is not `complete`. images_per_s, device_seconds: measured, on the
    slowest kind of device; None if this work was never measured. per_device_kind: measured rates. bucket_bytes: of the
    parts, without saved pictures. forward_passes, backward_passes: of the network for one mask, at most, without
    metrics.

    speed: measured or estimated; None if nothing is known. device_seconds_low, …_high: from it. workers: the time for
    numbers of workers. workers_for_deadline: fewest workers that end in time at the high and at the low speed; None if
    no number does, or none was asked for. Costs in US dollars; device_usd is None without a price. worker_bytes: memory
    of one worker on the CPU; None if the model's record does not say. notes: what to know, as sentences.
    """

    images: int
    complete: bool
    shards: int
    images_per_s: float | None
    device_seconds: float | None
    bucket_bytes: int
    forward_passes: int
    backward_passes: int
    per_device_kind: dict[str, float] = field(default_factory=dict)
    speed: Speed | None = None
    device_seconds_low: float | None = None
    device_seconds_high: float | None = None
    workers: tuple[WorkersTime, ...] = ()
    deadline_s: float | None = None
    workers_for_deadline: tuple[int | None, int | None] | None = None
    picture_bytes: int = 0
    database_bytes: int = 0
    put_requests: int = 0
    get_requests: int = 0
    request_usd: float = 0.0
    storage_usd_month: float = 0.0
    device_usd: tuple[float, float] | None = None
    worker_bytes: int | None = None
    worker_batch: int = costs.CPU_BATCH
    notes: tuple[str, ...] = ()


def count(
    source: Source, most: int | None = None, seconds: float = COUNT_S, notes: ListingNotes | None = None
) -> tuple[int, bool]:
    """(images, whether all were counted). Stops after `seconds` or at `most`. DatasetError as listing raises.

    notes: records what the listing leaves out and decides, as far as it was read.
    """
    end = time.monotonic() + seconds
    images = 0
    seen: set[int] = set()
    for item in source.list(notes):
        if (
            source.kind == "manifest"
        ):  # other listings name each file once; equal hashes of 64 bits do not happen
            if (identity := hash(item.key)) in seen:
                raise DatasetError(f"the key {item.key!r} is listed twice")
            seen.add(identity)
        images += 1
        # Asked for each image: one may be a file that is read for its frames.
        if (most is not None and images >= most) or time.monotonic() > end:
            return images, False
    return images, True


def estimate(
    database: Database,
    settings: Settings,
    config: JobConfig,
    images: int,
    complete: bool,
    *,
    workers: int | None = None,
    deadline_s: float | None = None,
    prices: Prices | None = None,
) -> Estimate:
    """The plan for a frozen configuration and the images of its dataset, as `count` returns them.

    workers: a number of workers to say the time for. deadline_s: seconds in which the job should end. prices: those of
    the settings by default.
    """
    prices = prices or settings.prices
    images = min(images, config.most_images or images)
    model = queries.model_of(database, config.model)
    record: Mapping[str, Any] = model.record if model else {}
    kinds = queries.rates_of(database, [config.work_digest()]).get(config.work_digest(), {})
    rate = min(kinds.values(), default=None)
    size = shard_size(images, rate, settings.shard_seconds, config.batch)
    speed = _speed(database, config, record)
    results = images * config.top
    pictures = wanted_pictures(config.save, images)
    parts = math.ceil(images / size)
    if speed is not None:  # a shard that takes longer than planned is committed in pieces
        parts = max(parts, math.ceil(images / _piece(size, speed.high, settings, config)))
    in_s3 = "s3://" in config.dataset.spec or config.dataset.kind == "upload"
    puts = parts + results * len(pictures) + costs.JOB_PUTS + parts // costs.COMMITTED_EVERY
    puts += math.ceil(images / costs.LISTED_AT_ONCE) if in_s3 else 0
    gets = images if in_s3 else 0
    bucket_bytes = parts * costs.PART_FILE + results * (costs.PART_ROW + 4 * _cells(record, config))
    thumbnail = costs.THUMBNAIL if config.thumbnails else 0
    bucket_bytes += images * (costs.PART_IMAGE + thumbnail + costs.FEATURES[config.features])
    picture_bytes = results * sum(costs.PICTURE[kind] for kind in pictures)
    times = None if speed is None else (images / speed.high, images / speed.low)
    needed = None
    if speed is not None and deadline_s is not None:
        needed = (
            _fewest(images, size, speed.high, deadline_s, settings, config),
            _fewest(images, size, speed.low, deadline_s, settings, config),
        )
    numbers = (workers,) if workers is not None else SHOWN_WORKERS
    dialect = database.engine.dialect.name
    most_workers = max([workers or 0, *(number or 0 for number in needed or ())])
    return Estimate(
        images=images,
        complete=complete,
        shards=math.ceil(images / size),
        images_per_s=rate,
        device_seconds=images / rate if rate else None,
        bucket_bytes=bucket_bytes,
        forward_passes=methods.passes(config.recipe).forward,
        backward_passes=methods.passes(config.recipe).backward,
        per_device_kind=kinds,
        speed=speed,
        device_seconds_low=times[0] if times else None,
        device_seconds_high=times[1] if times else None,
        workers=()
        if speed is None
        else tuple(
            WorkersTime(
                number,
                _time(images, _piece(size, speed.high, settings, config), speed.high, number),
                _time(images, _piece(size, speed.low, settings, config), speed.low, number),
            )
            for number in numbers
        ),
        deadline_s=deadline_s,
        workers_for_deadline=needed,
        picture_bytes=picture_bytes,
        database_bytes=results * costs.DATABASE_ROW[dialect],
        put_requests=puts,
        get_requests=gets,
        request_usd=(puts * prices.put + gets * prices.get) / 1000,
        storage_usd_month=(bucket_bytes + picture_bytes) / costs.GB * prices.storage,
        device_usd=None
        if times is None or prices.device_hour is None
        else (times[0] / 3600 * prices.device_hour, times[1] / 3600 * prices.device_hour),
        worker_bytes=_worker_bytes(record, config),
        worker_batch=config.batch or costs.CPU_BATCH,
        notes=tuple(_notes(config, speed, needed, deadline_s, most_workers, dialect)),
    )


def _speed(database: Database, config: JobConfig, record: Mapping[str, Any]) -> Speed | None:
    """The slowest kind of device with a rate for this work, else an estimate."""
    known = _measured(database, config) or _scaled(database, config, record) or _range(config, record)
    return min(known, key=lambda speed: speed.low, default=None)


def _digest(
    config: JobConfig, metrics: Iterable[str], method: str | None = None, layers: Layers | None = None
) -> str:
    """The work digest of one class per image, with other metrics, method or layers."""
    return work_digest(
        config.model.digest, method or config.method_digest, layers or config.layers, sorted(metrics)
    )


def _measured(database: Database, config: JobConfig) -> list[Speed]:
    """Rates of exactly this work, or of its pieces, by kind of device."""
    network = [name for name in config.metrics if name in _NETWORK_METRICS]
    exact, one, plain = config.work_digest(), _digest(config, config.metrics), _digest(config, ())
    single = {name: _digest(config, (name,)) for name in network}
    rates = queries.rates_of(database, [exact, one, plain, *single.values()])
    speeds = []
    for kind in sorted({kind for by_kind in rates.values() for kind in by_kind}):

        def of(digest: str, kind: str = kind) -> float | None:
            return rates.get(digest, {}).get(kind)

        if (rate := of(exact)) is not None:
            speeds.append(Speed(kind, rate, rate, "measured", f"measured on {kind}"))
            continue
        seconds = None
        if (rate := of(one)) is not None:
            seconds = 1 / rate
        elif (rate := of(plain)) is not None and all(of(digest) is not None for digest in single.values()):
            seconds = 1 / rate
            for digest in single.values():
                alone = of(digest)
                assert alone is not None
                seconds += max(0.0, 1 / alone - 1 / rate)
        if seconds is not None:
            rate = 1 / (seconds * config.top)
            parts = " and ".join(
                filter(None, ["its metrics" * bool(network), "its classes" * (config.top > 1)])
            )
            reason = f"computed from rates on {kind}, with the time of {parts or 'its method'}"
            speeds.append(Speed(kind, rate, rate, "composed", reason))
    return speeds


def _scaled(database: Database, config: JobConfig, record: Mapping[str, Any]) -> list[Speed]:
    """From another preset of the same network: the same time per forward pass, within a factor."""
    work = {}  # digest → (preset, passes)
    for preset, chosen in record.get("chosen", {}).items():
        if preset in PRESETS and "error" not in chosen:
            layers, method = Layers.from_json(chosen), PRESETS[preset].digest()
            for metrics in ((), config.metrics):
                passes = costs.passes(PRESETS[preset]) + costs.metric_passes(metrics, _NETWORK_METRICS)
                work[_digest(config, metrics, method, layers)] = (preset, passes)
    work[_digest(config, ())] = (config.preset, costs.passes(config.recipe))
    wanted = config.top * _passes(config)
    speeds = {}
    for digest, by_kind in queries.rates_of(database, list(work)).items():
        preset, passes = work[digest]
        for kind, rate in by_kind.items():
            expected = rate * passes / wanted
            reason = f"scaled from preset {preset} of this network on {kind}, by forward passes"
            speeds[kind] = Speed(kind, expected / costs.SCALED, expected * costs.SCALED, "scaled", reason)
    return list(speeds.values())


def _range(config: JobConfig, record: Mapping[str, Any]) -> list[Speed]:
    """From the operations of a forward pass, at the speeds that other networks reached on two CPU cores."""
    flops = record.get("flops")
    if not flops:
        return []
    operations = flops * config.top * _passes(config)
    low, high = (speed / operations for speed in costs.CPU_FLOPS)
    reason = (
        f"never measured: {flops / 1e9:.3g} billion operations a pass at the speeds of other networks on two CPU"
        " cores; a GPU is not in this range"
    )
    return [Speed("cpu", low, high, "range", reason)]


def _passes(config: JobConfig) -> float:
    return costs.passes(config.recipe) + costs.metric_passes(config.metrics, _NETWORK_METRICS)


def _piece(size: int, rate: float, settings: Settings, config: JobConfig) -> int:
    """Images that one worker commits together: a shard, or what it explains in the time that shards are sized for."""
    return min(size, max(config.batch or costs.CPU_BATCH, round(rate * settings.shard_seconds)))


def _time(images: int, piece: int, rate: float, workers: int) -> float:
    """Seconds until the last piece is done. The pieces are divided among workers; nobody shares one."""
    rounds = math.ceil(math.ceil(images / piece) / workers)
    return min(images, rounds * piece) / rate


def _fewest(
    images: int, size: int, rate: float, deadline_s: float, settings: Settings, config: JobConfig
) -> int | None:
    """Workers that end by the deadline; None if not even one piece does."""
    piece = min(images, _piece(size, rate, settings, config))
    if piece == 0:
        return 1
    rounds = math.floor(deadline_s * rate / piece + 1e-9)
    return math.ceil(math.ceil(images / piece) / rounds) if rounds else None


def _cells(record: Mapping[str, Any], config: JobConfig) -> int:
    """Cells of the mask's grid."""
    if config.method in ("integrated-gradients", "rise"):
        return config.recipe.map_cells**2
    if config.method == "occlusion":
        return config.recipe.occlusion_cells**2
    shapes = {layer["name"]: layer["shape"] for layer in record.get("layers", ())}
    sizes = []
    for layer in config.layers.mask_layers:
        name, tokens, _ = layer_names.parse_layer(layer)
        shape = shapes.get(name, ())
        if len(shape) >= 2:
            # (h, w, D) or (N, D) for tokens, else (channels, h, w)
            sizes.append(math.prod(shape[:-1] if tokens else shape[-2:]))
    return max(sizes, default=costs.DEFAULT_CELLS)


def _worker_bytes(record: Mapping[str, Any], config: JobConfig) -> int | None:
    parameters, activations = record.get("parameters"), record.get("activations")
    if parameters is None or activations is None:
        return None
    return round(costs.worker_memory(parameters, activations, config.batch or costs.CPU_BATCH))


def _notes(
    config: JobConfig,
    speed: Speed | None,
    needed: tuple[int | None, int | None] | None,
    deadline_s: float | None,
    workers: int,
    dialect: str,
) -> Iterable[str]:
    if speed is None:
        yield (
            "the time is not known: this network was registered by an earlier version and never ran;"
            f" `gfi bench {config.model.reference}` measures it"
        )
    elif speed.source in ("range", "scaled"):
        yield f"`gfi bench {config.model.reference}` on the device of a worker replaces the range by a measurement"
    if needed is not None and None in needed and deadline_s is not None:
        yield f"no number of workers ends within {deadline_s:.0f} s at the lower speed: one piece of work takes longer"
    most = (costs.CONNECTIONS - costs.SERVICE_CONNECTIONS) // costs.WORKER_CONNECTIONS
    if dialect == "postgresql" and workers > most:
        yield (
            f"more than {most} workers need more than PostgreSQL's {costs.CONNECTIONS} connections: raise"
            " max_connections, or put PgBouncer in front"
        )
    if dialect == "sqlite" and workers > 1:
        yield "SQLite serves the workers of one machine only; for more machines use PostgreSQL"
    if speed is not None and workers * speed.high * config.top > costs.COMMITTED_PER_S:
        yield (
            f"{workers} workers may give more than the {costs.COMMITTED_PER_S:,} results a second that PostgreSQL"
            " committed on two cores: give it more cores"
        )

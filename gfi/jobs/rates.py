"""Keeps what `gfi bench` measured, so that estimates and queues know a network that no job has used."""

from collections.abc import Sequence
from dataclasses import dataclass

from gfi.domain import costs
from gfi.domain.job import work_digest
from gfi.domain.layer_names import Layers
from gfi.domain.presets import recipe
from gfi.jobs.submit import Invalid
from gfi.store import ledger, queries
from gfi.store.database import Database


@dataclass(frozen=True)
class BenchRate:
    """Images per second of one device, with a preset and these metrics. peak_bytes: memory with `batch` images in
    float32, the precision by which jobs are given to queues; None if that was not measured."""

    preset: str
    metrics: tuple[str, ...]
    images_per_s: float
    batch: int = 1
    peak_bytes: int | None = None


def remember(
    database: Database, reference: str, digests: Sequence[str], device_kind: str, rates: Sequence[BenchRate]
) -> None:
    """Store the rates of a registered model.

    digests: of the network that was measured, by every scheme. Raises Invalid if the model is not registered, or is
    registered with other weights.
    """
    model = queries.find_model(database, reference)
    if model is None:
        raise Invalid(f"model {reference!r} is not registered: `gfi models add {reference}` registers it")
    if model.digest not in digests:
        raise Invalid(
            f"model {reference!r} is registered with other weights: `gfi models add {reference}` registers these"
        )
    for rate in rates:
        chosen = model.record["chosen"].get(rate.preset)
        if chosen is None or "error" in chosen:
            continue
        key = work_digest(
            model.digest, recipe(rate.preset).digest(), Layers.from_json(chosen), sorted(rate.metrics)
        )
        image_bytes = None
        if rate.peak_bytes is not None:
            fixed = costs.fixed_memory(device_kind, model.record["parameters"])
            image_bytes = max(0.0, rate.peak_bytes - fixed) / rate.batch
        ledger.save_rate(database, key, device_kind, rate.images_per_s, image_bytes)

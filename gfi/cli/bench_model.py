"""`gfi bench`: measures a network with each preset, and each metric that needs the network."""

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gfi import samples
from gfi.cli.errors import CommandError
from gfi.datasets.decode import decode
from gfi.domain.errors import MethodError
from gfi.domain.metrics import CATALOGUE
from gfi.domain.presets import PRESETS, recipe
from gfi.method import suitability
from gfi.method.classifiers import Classifier, load
from gfi.method.engine import Engine
from gfi.method.preprocess import Prepared
from gfi.method.throughput import measure, synchronise
from gfi.metrics.photograph_fill import Bank
from gfi.metrics.sample import Sample
from gfi.metrics.sample import measure as measure_metric
from gfi.store.errors import StoreError

SHOWN_METRICS = ("deletion", "insertion")
"""Metrics of the rate that is shown beside the one without metrics."""
METRIC_SHARE = 0.2
"""Of the time, for the metrics."""
PHOTOGRAPHS = 4
"""Bundled photographs that are explained again and again."""


def bench_model(
    model: str,
    models_dir: Path,
    *,
    device: str,
    presets: Sequence[str],
    batch: int | None,
    dtype: str,
    seconds: float,
) -> dict[str, Any]:
    """Speed and memory of a model, as JSON values.

    `presets`: a row each; `errors`: presets that do not fit the network, with the reason; `metrics`: seconds of one
    image, by name. Raises MethodError for a model, preset, device or precision that cannot be used, and OutOfMemory.
    """
    recipes = {name: recipe(name) for name in presets or PRESETS}
    classifier = load(model, models_dir)
    suitability.check_suitable(classifier)
    rows: list[dict[str, Any]] = []
    errors: dict[str, str] = {}
    metrics: dict[str, float] = {}
    kind = name = ""
    for preset, chosen in recipes.items():
        try:
            engine = Engine(classifier, chosen, device=device, batch=batch, dtype=dtype)
        except MethodError as error:
            if presets:
                raise
            errors[preset] = str(error)
            continue
        images = _photographs(classifier, engine)
        if not metrics:
            metrics = _metric_seconds(engine, images, METRIC_SHARE * seconds)
            kind, name = engine.profile.device_kind, _device_name(engine)
        left = (1 - METRIC_SHARE) * seconds / len(recipes)
        speed = measure(engine, images, left)
        rows.append(
            {
                "preset": preset,
                "batch": speed.batch,
                "peak_bytes": speed.peak_bytes,
                "images": speed.images,
                "images_per_s": speed.images_per_s,
                "images_per_s_with_metrics": _with(speed.images_per_s, metrics, SHOWN_METRICS),
                "layers": str(engine.layers),
            }
        )
        del engine
    if not rows:
        raise MethodError("; ".join(dict.fromkeys(errors.values())))
    digests = [classifier.digest, classifier.earlier_digest]
    about = {"model": model, "digests": digests, "device": name, "device_kind": kind, "dtype": dtype}
    return {**about, "metrics": metrics, "presets": rows, "errors": errors}


def remember(measured: dict[str, Any]) -> str | None:
    """Give the rates to the service of this machine. Returns why not, if there is none that takes them."""
    from gfi.cli.open_service import open_service
    from gfi.jobs.rates import BenchRate

    rates = [
        BenchRate(
            row["preset"],
            metrics,
            _with(row["images_per_s"], measured["metrics"], metrics),
            row["batch"],
            row["peak_bytes"] if measured["dtype"] == "float32" and not metrics else None,
        )
        for row in measured["presets"]
        for metrics in ((), *((name,) for name in measured["metrics"]))
    ]
    try:
        service = open_service()
        service.save_rates(measured["model"], measured["digests"], measured["device_kind"], rates)
    except (CommandError, StoreError) as error:
        return f"not kept for estimates: {error}"
    return None


def _with(images_per_s: float, metrics: dict[str, float], wanted: Sequence[str]) -> float:
    """The rate when these metrics are computed too."""
    return 1 / (1 / images_per_s + sum(metrics[name] for name in wanted))


def _photographs(classifier: Classifier, engine: Engine) -> list[Prepared]:
    """Some of the bundled photographs, as this network takes them."""
    prepared = []
    for path in sorted(samples.path().iterdir())[:PHOTOGRAPHS]:
        photograph = decode(path.read_bytes())
        prepared.append(classifier.prepare(photograph.rgb, engine.recipe, photograph.scale))
    return prepared


def _metric_seconds(engine: Engine, images: Sequence[Prepared], seconds: float) -> dict[str, float]:
    """Seconds of one image for each metric of the catalogue that needs the network."""
    size = engine.classifier.preprocess.size
    mask = np.random.default_rng(0).random(size, np.float32)
    wanted = [metric.name for metric in CATALOGUE.values() if metric.needs == "network"]
    image = images[0]
    fills = torch.stack([one.image for one in images]).to(engine.device, engine.dtype)
    sample = Sample(
        mask=mask,
        target=0,
        original_size=image.original_size,
        box=image.box,
        image=image.image.to(engine.device, engine.dtype),
        probabilities=engine.network.probabilities,
        bank=Bank.of(engine.network.probabilities, fills),
    )
    taken = {}
    with engine.memory_errors(), engine.exact():
        for name in wanted:
            measure_metric(name, sample)  # warms up
            began, count = time.perf_counter(), 0
            while not count or time.perf_counter() - began < seconds / (2 * len(wanted)):
                measure_metric(name, sample)
                synchronise(engine.device)
                count += 1
            taken[name] = (time.perf_counter() - began) / count
    return taken


def _device_name(engine: Engine) -> str:
    """The device, for people."""
    if engine.device.type == "cuda":
        return torch.cuda.get_device_name(engine.device)
    if engine.device.type == "mps":
        return "mps"
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or 'cpu'}, {torch.get_num_threads()} threads"

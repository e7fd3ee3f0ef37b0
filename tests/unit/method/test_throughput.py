"""Throughput: from a stream that fits the time, else from single steps."""

import itertools
from collections.abc import Callable

import pytest
import torch

from gfi.domain.costs import SETTLED_SHARE
from gfi.domain.presets import recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.preprocess import Prepared
from gfi.method.throughput import measure, peak_bytes, reset_peak
from tests.unit.method.networks import Small


def ticking(step: float = 1.0) -> Callable[[], float]:
    """A clock that goes on by `step` with every look."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def engine(preset: str = "paper", **changes: object) -> Engine:
    return Engine(classifiers.from_module(Small(), (32, 32)), recipe(preset, **changes), batch=2)


IMAGES = [Prepared(torch.rand(3, 32, 32), None, (32, 32), (0.0, 0.0, 32.0, 32.0)) for _ in range(3)]


def test_single_steps_are_scaled_where_a_batch_takes_too_long() -> None:
    # Every timed piece takes one tick: the start, a step of stage 1, a step of stage 2.
    speed = measure(engine(), IMAGES, seconds=5, clock=ticking())
    assert speed.images == 0
    assert speed.batch == 2
    assert speed.images_per_s == pytest.approx(2 / (1 + 10 + 70.5))
    settled = measure(engine("tuned"), IMAGES, seconds=5, clock=ticking())
    assert settled.images_per_s == pytest.approx(2 / (1 + 32 * SETTLED_SHARE + 0.5))


def test_a_stream_of_whole_batches_is_run_where_there_is_time() -> None:
    short = {"steps_inversion": 2, "steps_class": 3}
    speed = measure(engine(**short), IMAGES, seconds=10, clock=ticking(0.1))
    assert speed.images > 2
    assert speed.images % 2 == 0
    assert speed.images_per_s > 0
    once = measure(engine(**short), IMAGES, seconds=2.2, clock=ticking(0.1))
    assert 0 < once.images < speed.images


def test_the_peak_of_memory_is_at_least_what_is_held() -> None:
    cpu = torch.device("cpu")
    reset_peak(cpu)
    before = peak_bytes(cpu)
    held = torch.ones(8 << 20)
    assert peak_bytes(cpu) >= before
    assert peak_bytes(cpu) >= held.nbytes

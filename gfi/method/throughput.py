"""How fast an engine explains, measured in a given time.

A whole stream of images is run if it fits the time. If not even one batch does (VGG-19 on a CPU: four minutes), single
steps of both stages are timed and scaled to the steps of the recipe. A recipe that ends images when their masks have
settled is then counted with the share of steps that is usual.
"""

import contextlib
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gfi.domain.costs import SETTLED_SHARE
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared

TIMED_STEPS = 3
"""Steps of each stage that are timed, fewer if they take long; one more warms up."""


@dataclass(frozen=True)
class Throughput:
    """images_per_s: explained on this device. batch: images optimised together. peak_bytes: the most memory meanwhile,
    of the device, or of the process on a CPU. images: explained to measure it; 0: scaled from single steps."""

    images_per_s: float
    batch: int
    peak_bytes: int
    images: int


def measure(
    engine: Engine,
    images: Sequence[Prepared],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Throughput:
    """The throughput of an engine on prepared images, which are used again and again.

    seconds: about how long to measure; the first steps run in any case. Raises OutOfMemory.
    """
    device = engine.device
    reset_peak(device)
    began = clock()

    def now() -> float:
        synchronise(device)
        return clock()

    group = [Item(i, images[i % len(images)]) for i in range(engine.batch)]
    with engine.memory_errors(), engine.exact():
        start, first, second = _steps(engine, group, now, began + seconds / 2)
    recipe = engine.recipe
    stage_1, share = recipe.steps_inversion * first, SETTLED_SHARE if recipe.check_every else 1.0
    # The last pass computes the probabilities of both parts: half of a step, which runs backward too.
    batch_s = start + stage_1 + (recipe.steps_class * share + 0.5) * second
    left = seconds - (now() - began)
    if start + stage_1 + recipe.steps_class * second > left:
        return Throughput(engine.batch / batch_s, engine.batch, peak_bytes(device), 0)
    end = now() + left - batch_s
    began = now()
    explained = sum(1 for _ in engine.explain_many(_stream(images, engine.batch, end, now)))
    return Throughput(explained / (now() - began), engine.batch, peak_bytes(device), explained)


def _stream(images: Sequence[Prepared], batch: int, end: float, now: Callable[[], float]) -> Iterator[Item]:
    """Whole batches of the images, until the time `end`; at least one batch."""
    for index in itertools.count():
        if index and index % batch == 0 and now() > end:
            return
        yield Item(index, images[index % len(images)])


def _steps(
    engine: Engine, group: list[Item], now: Callable[[], float], end: float
) -> tuple[float, float, float]:
    """Seconds of the start of a batch, and of one step of stage 1 and of stage 2 (0 for a stage without steps).

    end: the time after which no more steps are timed than are needed.
    """
    fills = [engine.fill_of(item)[0] for item in group]
    engine.begin(group, fills)  # warms up
    began = now()
    inversion = engine.begin(group, [engine.fill_of(item)[0] for item in group])
    start = now() - began
    recipe = engine.recipe
    medians = []
    for steps, at in ((recipe.steps_inversion, 0), (recipe.steps_class, recipe.steps_inversion)):
        inversion.skip_to(at)
        times = []
        for _ in range(min(1 + TIMED_STEPS, steps)):
            began = now()
            inversion.step()
            ended = now()
            times.append(ended - began)
            if len(times) > 1 and ended > end:
                break
        medians.append(statistics.median(times[1:] or times) if times else 0.0)
    return start, medians[0], medians[1]


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak(device: torch.device) -> None:
    """Let `peak_bytes` count from now on, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak of this process


def peak_bytes(device: torch.device) -> int:
    """The most memory since `reset_peak`: of the device, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        text = Path("/proc/self/status").read_text()
        return 1024 * int(text.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

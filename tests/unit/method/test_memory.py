"""The largest batch that fits; a long stream needs no more memory than a short one."""

import subprocess
import sys

import pytest
import torch

from gfi.domain.presets import PRESETS, recipe
from gfi.method import classifiers, memory
from gfi.method.engine import _FITTING, Engine
from tests.unit.method.networks import Small


def engine(preset: str = "paper", size: int = 32) -> Engine:
    return Engine(classifiers.from_module(Small(), (size, size)), recipe(preset), batch=1)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_an_image_needs_is_counted_and_grows_with_its_area(preset: str) -> None:
    small, large = engine(preset), engine(preset, 64)
    needs = [
        memory.bytes_per_image(e.network, e.recipe, (3, s, s), e.device)
        for e, s in ((small, 32), (large, 64))
    ]
    image = 3 * 32 * 32 * 4
    assert needs[0] > 4 * image  # x, p, and kept and removed image at least
    assert 3.5 < needs[1] / needs[0] < 4.5
    assert needs == [
        memory.bytes_per_image(e.network, e.recipe, (3, s, s), e.device)
        for e, s in ((small, 32), (large, 64))
    ]


@pytest.mark.parametrize(("images", "batch"), [(0.3, 1), (1.2, 1), (3.9, 2), (4.1, 4), (1000, 4)])
def test_the_batch_is_the_largest_power_of_two_that_fits_and_pays(
    monkeypatch: pytest.MonkeyPatch, images: float, batch: int
) -> None:
    e = engine()
    need = memory.bytes_per_image(e.network, e.recipe, (3, 32, 32), e.device)
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(images * need / memory.USABLE_SHARE) + 1)
    assert memory.fitting_batch(e.network, e.recipe, (3, 32, 32), e.device) == batch


def test_the_batch_is_found_once_and_then_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = classifiers.from_module(Small(seed=9), (32, 32))
    _FITTING.clear()
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1)
    assert Engine(classifier, recipe("paper")).profile.batch == 1
    monkeypatch.undo()
    assert Engine(classifier, recipe("paper")).profile.batch == 1
    assert Engine(classifier, recipe("paper", gamma=9)).profile.batch == memory.CPU_BATCH


def test_the_host_says_how_much_is_free() -> None:
    assert 1 << 20 < memory.free_bytes(torch.device("cpu")) < 1 << 50


GROWTH = """
import os
from pathlib import Path
import torch
torch.set_num_threads(1)
from gfi.method import classifiers
from gfi.method.engine import Engine, Item
from gfi.method.preprocess import Prepared
from gfi.domain.presets import recipe
from tests.unit.method.networks import Small

quick = recipe("tuned", levels=[0.25], second_fill="none", rate=0.1, steps_class=3, check_every=1, settled=0.02)
engine = Engine(classifiers.from_module(Small(), (64, 64)), quick, batch=16)
def items():
    for i in range(480):
        image = torch.rand((3, 64, 64), generator=torch.Generator().manual_seed(i))
        yield Item(i, Prepared(image, None, (64, 64), (0, 0, 64, 64)))
def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
at, iterations = {}, set()
for done, explanation in enumerate(engine.explain_many(items()), 1):
    iterations.add(explanation.iterations)
    if done in (120, 480):
        at[done] = rss()
assert len(iterations) > 1, iterations  # slots were refilled
print(at[480] / at[120])
"""


def test_many_images_take_no_more_memory_than_a_quarter_of_them() -> None:
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.05

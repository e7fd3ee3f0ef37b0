"""Steps in memory that stays, without CUDA: a stand-in for the capture runs the step itself."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers
from gfi.method.cuda_graphs import StaticStep, StepGraphs
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.networks import Small, smooth_images

CPU, SIZE = torch.device("cpu"), 32
RECIPES = {
    "tuned": recipe("tuned", levels=[0.15, 0.5], steps_class=24, halve_every=16, check_every=4, settled=0.03),
    "paper": recipe("paper", steps_inversion=3, steps_class=6, check_every=2, settled=0.017),
}


class Recorder:
    """Captures nothing. Records the memory of each step, and that a replay neither needs nor changes names."""

    def __init__(self) -> None:
        self.replays = 0
        self.memory: list[tuple[int, int]] = []

    def __call__(self, static: StaticStep) -> Callable[[], None]:
        rows = static.inversion
        where = rows.omega.data_ptr(), rows.fills[0].data_ptr()
        self.memory.append(where)

        def replay() -> None:
            assert (rows.omega.data_ptr(), rows.fills[0].data_ptr()) == where
            self.replays += 1
            static()

        return replay


def explain(chosen: Recipe, graphs: StepGraphs | None) -> list[bytes]:
    """The masks of five images, two in a batch: images wait, and take the slots of others."""
    engine = Engine(classifiers.from_module(Small(), (SIZE, SIZE)), chosen, batch=2)
    engine.step_graphs = graphs
    box = (0.0, 0.0, float(SIZE), float(SIZE))
    images = smooth_images(5, SIZE).float()
    items = (Item(i, Prepared(image, None, (SIZE, SIZE), box)) for i, image in enumerate(images))
    return [one.grid.tobytes() for one in sorted(engine.explain_many(items), key=lambda one: one.key)]


@pytest.mark.parametrize("preset", RECIPES)
def test_masks_have_the_same_bits_and_every_batch_uses_the_same_memory(preset: str) -> None:
    recorder = Recorder()
    masks = explain(RECIPES[preset], StepGraphs(CPU, recorder))
    assert masks == explain(RECIPES[preset], None)
    assert len(recorder.memory) == (2 if preset == "paper" else 1), "one for each stage"
    assert recorder.replays > 12


def test_after_a_failed_capture_steps_go_on_and_a_warning_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(static: StaticStep) -> Any:
        static.inversion.step()  # binds other tensors
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    graphs = StepGraphs(CPU, fails)
    with caplog.at_level(logging.WARNING):
        assert explain(RECIPES["paper"], graphs) == explain(RECIPES["paper"], None)
    assert graphs.failure == "operation not permitted when stream is capturing"
    assert len(caplog.records) == 1


def test_a_capture_that_lacks_memory_asks_for_a_smaller_batch() -> None:
    def lacks(static: StaticStep) -> Any:
        raise torch.OutOfMemoryError

    with pytest.raises(Exception, match="batch"):
        explain(RECIPES["tuned"], StepGraphs(CPU, lacks))

"""The presets give the masks that they gave when they were recorded, and have the digests they had.

Recorded at version 0.1.0 (tests/fixtures). In float64 rounding stays far below what is compared; in float32
the masks are compared bit by bit on the processor and torch they were recorded with, elsewhere not.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gfi.domain.presets import PRESETS, recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.networks import Small, seeded, smooth_images

FIXTURES = Path(__file__).parents[2] / "fixtures"
RECORDED = json.loads((FIXTURES / "preset_masks.json").read_text())
MASKS = np.load(FIXTURES / "preset_masks.npz")
FOIL = 4

# Every value of every field that chooses a part, at least once.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("paper", {}),
    "released": ("released", {}),
    "tuned": ("tuned", {}),
    "squares": ("paper", {"penalty": "squares"}),
    "relative": ("paper", {"relative_inversion": True}),
    "one-adam": ("paper", {"one_adam": True}),
    "mean": ("paper", {"fill": "mean"}),
    "noise": ("paper", {"fill": "noise"}),
    "noise-too": ("paper", {"second_fill": "noise"}),
    "image": ("paper", {"normalise": "image"}),
    "rectified": ("paper", {"normalise": "rectified"}),
    "grad-cam-adam": ("paper", {"start": "grad-cam", "signed": True, "normalise": "rectified"}),
    "contrast-adam": ("paper", {"objective": "contrast", "levels": [0.1, 0.4]}),
    "tuned-even": ("tuned", {"start": "even"}),
    "tuned-grid": ("tuned", {"normalise": "grid"}),
    "tuned-one": ("tuned", {"second_fill": "none"}),
    "tuned-probability": ("tuned", {"objective": "probability", "steps_class": 16, "check_every": 2}),
    "foil": ("paper", {}),
    "foil-tuned": ("tuned", {}),
}
NETWORKS: dict[str, tuple[Any, int]] = {
    "small": (lambda: Small().double(), 32),
    "resnet18": (lambda: seeded("resnet18"), 64),
}
RUNS = sorted({tuple(key.split("/")[:2]) for key in MASKS.files})


def same_machine() -> bool:
    """Whether float32 must give the recorded bits here."""
    info = Path("/proc/cpuinfo")
    names = info.read_text() if info.exists() else ""
    return RECORDED["processor"] in names and RECORDED["torch"] == torch.__version__


@pytest.fixture(scope="module")
def modules() -> dict[str, nn.Module]:
    return {name: make() for name, (make, _) in NETWORKS.items()}


def test_every_case_was_recorded() -> None:
    assert {case for network, case in RUNS if network == "small"} == set(CASES)


def test_the_digests_of_the_presets_are_the_recorded_ones() -> None:
    assert {name: PRESETS[name].digest() for name in RECORDED["digests"]} == RECORDED["digests"]


@pytest.mark.parametrize(("network", "case"), RUNS)
def test_masks_are_the_recorded_ones(modules: dict[str, nn.Module], network: str, case: str) -> None:
    size = NETWORKS[network][1]
    preset, changes = CASES[case]
    classifier = classifiers.of(modules[network], (size, size))
    precisions = [torch.float64, *([torch.float32] if same_machine() else [])]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for dtype in precisions:
            engine = Engine(classifier, recipe(preset, **changes), batch=4, dtype=dtype)
            items = [
                Item(
                    index,
                    Prepared(image, None, (size, size), (0.0, 0.0, float(size), float(size))),
                    index if case.startswith("foil") else None,
                    FOIL if case.startswith("foil") else None,
                )
                for index, image in enumerate(smooth_images(3, size))
            ]
            for explanation in engine.explain_many(items):
                key = f"{network}/{case}/{explanation.index}/{str(dtype).removeprefix('torch.')}"
                target, prediction, *numbers, iterations, _, area = RECORDED["facts"][key]
                assert (explanation.target, explanation.prediction) == (target, prediction)
                assert explanation.iterations == iterations
                if dtype == torch.float32:
                    assert np.array_equal(explanation.grid, MASKS[key])
                else:
                    np.testing.assert_allclose(explanation.grid, MASKS[key], atol=1e-6)
                    got = (explanation.probability, explanation.kept, explanation.removed, explanation.area)
                    np.testing.assert_allclose(got, (*numbers, area), atol=1e-7)
    finally:
        torch.set_num_threads(threads)

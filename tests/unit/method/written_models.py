"""Model files for the tests of classifiers and model files."""

from pathlib import Path

import numpy as np

from gfi.domain.presets import PRESETS, recipe
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.item import Item

NET = """
import torch
from torch import nn

def build(channels=3, classes=4):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 1, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes),
    )
"""


GOOD = """
architecture = "file:net.py:build"
weights = "seed:0"
[input]
size = 32
"""


def write(folder: Path, text: str, name: str = "mine") -> str:
    (folder / "net.py").write_text(NET)
    (folder / f"{name}.toml").write_text(text)
    return name


def explain(classifier: Classifier) -> None:
    rng, channels = np.random.default_rng(0), classifier.preprocess.channels
    several = channels not in (1, 3)
    seen = (
        rng.random((48, 64, channels), np.float32) if several else rng.integers(0, 255, (48, 64, 3), np.uint8)
    )
    for preset in PRESETS:
        if several and PRESETS[preset].fill_from == "photograph":
            continue
        quick = recipe(preset, steps_inversion=2, steps_class=2, levels=[0.25])
        (explanation,) = Engine(classifier, quick, batch=1).explain_many(
            [Item(0, classifier.prepare(seen, quick))]
        )
        assert np.isfinite(
            [explanation.probability, explanation.kept, explanation.removed, explanation.loss]
        ).all()
        assert explanation.iterations == 4

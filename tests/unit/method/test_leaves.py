"""The frozen bank of dead-leaves images."""

import hashlib

import numpy as np
import pytest
import torch

from gfi.method.leaves import COUNT, GREY, TINT, dead_leaves, leaves
from gfi.method.preprocess import Preprocess


def test_the_bank_is_frozen() -> None:
    """Part of what `bank: leaves` means in a recipe: other images would be another method."""
    pixels = np.stack([dead_leaves(number, 32, 32) for number in range(COUNT)])
    assert (
        hashlib.sha256((pixels * 255).round().astype(np.uint8).tobytes()).hexdigest()[:16]
        == "50e71d82f06de50e"
    )


def test_an_image_is_flat_inside_its_discs_and_has_edges_between_them() -> None:
    image = dead_leaves(0, 64, 48)
    assert image.shape == (3, 64, 48)
    assert GREY[0] - TINT <= image.min() < 0.3 < 0.6 < image.max() <= 1
    steps = np.abs(np.diff(image, axis=2)).max(0)
    assert 0.5 < (steps == 0).mean() < 0.95
    assert np.median(steps[steps > 0]) > 0.1


def test_the_same_scene_is_drawn_at_every_size() -> None:
    large, small = dead_leaves(3, 128, 128), dead_leaves(3, 32, 32)
    means = large.reshape(3, 32, 4, 32, 4).mean((2, 4))
    assert np.corrcoef(means.ravel(), small.ravel())[0, 1] > 0.8


def test_the_bank_is_in_the_networks_own_units() -> None:
    bank = leaves(Preprocess((24, 16), 3, (0.5,) * 3, (0.25,) * 3))
    assert bank.shape == (COUNT, 3, 24, 16)
    assert torch.equal(bank[2], (torch.from_numpy(dead_leaves(2, 24, 16)) - 0.5) / 0.25)
    grey = leaves(Preprocess((24, 16), 1, (0.0,), (1.0,)))
    assert grey[2, 0].numpy() == pytest.approx(dead_leaves(2, 24, 16).mean(0))

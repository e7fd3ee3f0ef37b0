"""A tiny seeded classifier in float64, so that equalities hold to rounding."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread: with such small tensors several threads are slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(channels: int = 3, classes: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(48, classes),
    )
    return net.to(dtype).eval().requires_grad_(False)


@pytest.fixture
def net() -> nn.Module:
    return tiny()


@pytest.fixture
def batch():
    """images (4, 3, 22, 26), masks (4, 1, 22, 26) with many ties, targets (4,): all float64."""
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, 22, 26, generator=draw, dtype=torch.float64)
    masks = torch.rand(4, 1, 22, 26, generator=draw, dtype=torch.float64)
    masks[1] = (masks[1] * 4).round() / 4  # ties
    masks[2] = 0.5  # nothing but ties
    return images, masks, torch.tensor([0, 3, 1, 3])

"""What several tests of metrics share: photographs with boxes, random masks, and the probabilities of a network."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from gfi.metrics.batched_probabilities import Probabilities

CASES = {
    "square": ((20, 20), (0, 0, 20, 20), [(3, 4, 9, 15)]),
    "wide, squashed": ((12, 37), (0, 0, 37, 12), [(3, 4, 9, 10), (7, 2, 30, 8)]),
    "tall, cropped": ((41, 17), (0, 12, 17, 29), [(2, 10, 12, 20)]),
    "fractional box": ((30, 23), (2.5, 3.25, 20.75, 21.5), [(0, 0, 10, 10), (5, 5, 12, 25)]),
    "smaller than the mask": ((5, 4), (0, 0, 4, 5), [(1, 1, 3, 4)]),
    "box beyond the border": ((15, 15), (0, 0, 15, 15), [(-4, 8, 6, 90)]),
}
"""Name → (original size, what the network saw, ground-truth boxes)."""


def random_mask(seed: int = 0, size: tuple[int, int] = (9, 8)) -> np.ndarray:
    """A mask in [0, 1)."""
    return np.random.default_rng(seed).random(size)


def probabilities(net: nn.Module) -> Probabilities:
    """The network's softmax, in the form that metrics expect."""
    return lambda images: net(images).softmax(1)


def target_probability(net: nn.Module, target: int | Tensor) -> Callable[[np.ndarray], float]:
    """The same for one image (C, H, W) and one class, in the form that the literal versions expect."""
    return lambda image: float(net(torch.as_tensor(image)[None]).softmax(1)[0, target])

"""What every method does with its map at the end: rectified, scaled, at the size of the input."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.metrics.batched_probabilities import Probabilities


def unit(maps: Tensor) -> Tensor:
    """max(0, map) divided by its maximum, image by image: (N, 1, H, W) in [0, 1]; all zero stays zero."""
    positive = maps.clamp(min=0)
    high = positive.amax((1, 2, 3), keepdim=True)
    return torch.where(high > 0, positive / high, 0.0)


def at_input_size(grid: Tensor, inputs: Tensor) -> Tensor:
    """A map (N, 1, h, w) rectified, at the input size, scaled."""
    return unit(F.interpolate(grid.clamp(min=0), inputs.shape[2:], mode="bilinear", align_corners=False))


def softmax_of(module: nn.Module) -> Probabilities:
    """The network's softmax as a function of images."""
    return lambda images: module(images).softmax(1)

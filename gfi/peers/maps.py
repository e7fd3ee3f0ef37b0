"""The last steps that the methods share: rectify a map, scale it, and bring it to the input size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.metrics.batched_probabilities import Probabilities


def unit(maps: Tensor) -> Tensor:
    """max(0, map) divided by its maximum, image by image.

    Parameters
    ----------
    maps : Tensor
        (N, 1, H, W).

    Returns
    -------
    Tensor
        (N, 1, H, W) in [0, 1]; all zero where no value is positive.

    Examples
    --------
    >>> unit(torch.tensor([[[[-1.0, 2.0, 4.0]]]]))
    tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    positive = maps.clamp(min=0)
    high = positive.amax((1, 2, 3), keepdim=True)
    return torch.where(high > 0, positive / high, 0.0)


def at_input_size(grid: Tensor, inputs: Tensor) -> Tensor:
    """A map (N, 1, h, w) rectified, resized bilinearly to the size of `inputs` (N, C, H, W), and scaled."""
    return unit(F.interpolate(grid.clamp(min=0), inputs.shape[2:], mode="bilinear", align_corners=False))


def softmax_of(module: nn.Module) -> Probabilities:
    """Images (N, C, H, W) to the softmax of the network's output (N, K)."""
    return lambda images: module(images).softmax(1)


def cells(maps: Tensor, most: int) -> Tensor:
    """Means over cells of maps (N, H, W): at most `most` cells along the longer side, and never more than pixels.

    >>> cells(torch.arange(4.0).view(1, 1, 4), 2)
    tensor([[[0.5000, 2.5000]]])
    """
    height, width = maps.shape[1:]
    scale = min(1.0, most / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.adaptive_avg_pool2d(maps.unsqueeze(1), size).squeeze(1)

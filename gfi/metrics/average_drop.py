"""Average drop and increase in confidence: the probability of the image multiplied by its mask.

With Y the target's probability on the image and O that on image × mask, where covered pixels are replaced by the mean
that the normalisation subtracts (zero after it):

    drop = max(0, Y − O)/Y        lower is better
    increase = 1 if O > Y else 0  higher is better

Both are given per image; averaging over images is left to the caller. A full mask scores perfectly, so read these
together with the area (`gfi.metrics.area`).

References
----------
Chattopadhay, Sarkar, Howlader, Balasubramanian, "Grad-CAM++: Generalized Gradient-based Visual Explanations for
Deep Convolutional Networks", WACV 2018.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities, check_shapes, target_probabilities
from gfi.metrics.sample import Sample


class Drop(NamedTuple):
    """Average drop and increase of N images.

    Attributes
    ----------
    drop : Tensor
        (N,) float64 in [0, 1]; not-a-number where Y is zero or the mask is not finite.
    increase : Tensor
        (N,) bool; False where `drop` is not-a-number because of the mask.
    whole, masked : Tensor
        (N,) float64 in [0, 1]: Y and O, the target's probability on the image and on image × mask.
    """

    drop: Tensor
    increase: Tensor
    whole: Tensor
    masked: Tensor


def average_drop(
    probabilities: Probabilities,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    fill: Tensor | None = None,
    batch: int = BATCH,
) -> Drop:
    """Average drop and increase in confidence.

    Parameters
    ----------
    probabilities : callable
        Images (batch, C, H, W) to class probabilities (batch, K).
    images : Tensor
        (N, C, H, W), normalised.
    masks : Tensor
        (N, 1, H, W) in [0, 1].
    targets : Tensor
        (N,), class indices.
    fill : Tensor, optional
        What replaces covered pixels, of a shape that broadcasts to (N, C, H, W); by default zero, the mean that the
        normalisation subtracts.
    batch : int
        Images in one forward pass.

    Returns
    -------
    Drop

    Raises
    ------
    ValueError
        When the shapes do not fit each other.

    References
    ----------
    Chattopadhay et al., "Grad-CAM++", WACV 2018.

    Examples
    --------
    >>> image = torch.ones(1, 1, 2, 2)
    >>> mean_is_probability = lambda x: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)
    >>> half = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    >>> average_drop(mean_is_probability, image, half, torch.tensor([0])).drop
    tensor([0.5000], dtype=torch.float64)
    """
    check_shapes(images, masks, targets)
    masks, targets = masks.to(images.device), targets.to(images.device)
    base = (images.new_zeros(()) if fill is None else fill.to(images)).expand_as(images)
    finite = masks.flatten(1).isfinite().all(1)
    whole = target_probabilities(probabilities, lambda i: images[i], len(images), targets, batch)

    def covered(indices: Tensor) -> Tensor:
        return torch.lerp(base[indices], images[indices], masks[indices].to(images))

    masked = target_probabilities(probabilities, covered, len(images), targets, batch)
    masked = torch.where(finite, masked, torch.nan)
    drop = torch.where(whole > 0, (whole - masked).clamp(min=0) / whole, torch.nan)
    return Drop(drop, masked > whole, whole, masked)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"average_drop": float(average_drop(*sample.batch).drop[0])}

"""The probability curve that deletion and insertion share.

Pixels are ordered by the mask, highest first; equal ones in raster order (a stable sort). At point k = 0 … 28 the
first ⌊k·H·W/28⌋ of them are *marked*, and the image for that point shows the photograph in either the marked or
the unmarked pixels and the fill in the others. The score is the area under the 29 target probabilities, by the
trapezoid rule over [0, 1]:

    area = 1/28 · Σ_{k=1}^{28} (P_{k−1} + P_k)/2

The last point marks the whole image, so there are 28 steps for any input size.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities, check_shapes, target_probabilities

STEPS = 28

Fill = Tensor | Callable[[Tensor, Tensor], Tensor]
"""What replaces pixels of the photograph: an image that broadcasts to (N, C, H, W), or an imputation, a function
of images (B, C, H, W) and known pixels (B, 1, H, W) bool that returns whole images (B, C, H, W)."""


class Curve(NamedTuple):
    """The curves of N images.

    Attributes
    ----------
    area : Tensor
        (N,) float64 in [0, 1], the area under each curve.
    points : Tensor
        (N, 29) float64 in [0, 1], the target's probability from no pixel marked to every pixel marked.

    Both are not-a-number for a mask that is not finite.
    """

    area: Tensor
    points: Tensor


def ranks(masks: Tensor) -> Tensor:
    """The rank of every pixel in mask order, 0 for the highest: (N, 1, H, W) to (N, 1, H, W) int64.

    Examples
    --------
    >>> ranks(torch.tensor([[[[0.5, 0.9], [0.5, 0.1]]]]))
    tensor([[[[1, 0],
              [2, 3]]]])
    """
    order = masks.flatten(1).argsort(dim=1, descending=True, stable=True)
    positions = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, positions).view_as(masks)


def probability_curve(
    probabilities: Probabilities,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    fill: Fill,
    marked_are: Literal["removed", "kept"],
    batch: int = BATCH,
) -> Curve:
    """The target's probability as more and more pixels are marked.

    Parameters
    ----------
    probabilities : callable
        Images (batch, C, H, W) to class probabilities (batch, K).
    images : Tensor
        (N, C, H, W), normalised.
    masks : Tensor
        (N, 1, H, W); only the order of their values matters.
    targets : Tensor
        (N,), class indices.
    fill : Tensor or callable
        What replaces pixels of the photograph, see `Fill`.
    marked_are : {"removed", "kept"}
        Whether marked pixels are replaced by the fill (deletion) or are the only ones shown (insertion).
    batch : int
        Images in one forward pass, and in memory at a time.

    Returns
    -------
    Curve

    Raises
    ------
    ValueError
        When the shapes do not fit each other.

    Examples
    --------
    >>> mean_is_probability = lambda x: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)
    >>> image, mask = torch.ones(1, 1, 4, 7), torch.rand(1, 1, 4, 7)
    >>> curve = probability_curve(mean_is_probability, image, mask, torch.tensor([0]), torch.zeros(1), "removed")
    >>> float(curve.points[0, 0]), float(curve.points[0, -1]), round(float(curve.area[0]), 6)
    (1.0, 0.0, 0.5)
    """
    check_shapes(images, masks, targets)
    masks, targets = masks.to(images.device), targets.to(images.device)
    rank, points = ranks(masks), STEPS + 1
    counts = torch.arange(points, device=masks.device) * (masks.shape[2] * masks.shape[3]) // STEPS
    still = None if callable(fill) else fill.to(images).expand_as(images)

    def draw(indices: Tensor) -> Tensor:
        # One image is broadcast: copies of it for all points took a tenth of AlexNet's forward pass.
        rows = slice(None) if len(images) == 1 else indices // points
        marked = rank[rows] < counts[indices % points].view(-1, 1, 1, 1)
        known = marked if marked_are == "kept" else ~marked
        if still is None:
            assert callable(fill)
            return fill(images[rows].expand(len(indices), -1, -1, -1), known)
        return torch.where(known, images[rows], still[rows])

    repeated = targets.repeat_interleave(points)
    curve = target_probabilities(probabilities, draw, len(images) * points, repeated, batch).view(-1, points)
    curve[~masks.flatten(1).isfinite().all(1)] = torch.nan
    return Curve((curve[:, 1:] + curve[:, :-1]).mean(1) / 2, curve)

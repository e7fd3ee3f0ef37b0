"""The curve that deletion and insertion share.

Pixels are ordered by the mask, highest first; equal ones in raster order (a stable sort). At point
k = 0 … 28 the first ⌊k·H·W/28⌋ of them are *marked*, and the image drawn for that point differs
between marked and unmarked pixels. The area under the 29 target probabilities is the trapezoid rule
over [0, 1]:

    area = 1/28 · Σ_{k=1}^{28} (P_{k−1} + P_k)/2

The end of the interval is the whole image, so 28 steps are 28 steps whatever the input size.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities, ask, check

STEPS = 28

Fill = Tensor | Callable[[Tensor, Tensor], Tensor]
"""What stands where the photograph does not: an image that broadcasts to (N, C, H, W), or an
imputation, from images (B, C, H, W) and known pixels (B, 1, H, W) bool to whole images (B, C, H, W)."""


class Curve(NamedTuple):
    """area: (N,) float64; points: (N, 29) float64, target probability from no to every pixel marked.

    Both are not-a-number for a mask that is not finite.
    """

    area: Tensor
    points: Tensor


def ranks(masks: Tensor) -> Tensor:
    """The place of every pixel in mask order, 0 for the highest: (N, 1, H, W) int64."""
    order = masks.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(masks)


def trace(
    probabilities: Probabilities,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    fill: Fill,
    marked_are: Literal["removed", "kept"],
    batch: int = BATCH,
) -> Curve:
    """The curve while marked pixels are "removed" (deletion) or "kept" (insertion).

    images: (N, C, H, W); masks: (N, 1, H, W); targets: (N,). Memory: `batch` images at a time.
    """
    check(images, masks, targets)
    masks, targets = masks.to(images.device), targets.to(images.device)
    place, points = ranks(masks), STEPS + 1
    counts = torch.arange(points, device=masks.device) * (masks.shape[2] * masks.shape[3]) // STEPS
    still = None if callable(fill) else fill.to(images).expand_as(images)

    def draw(indices: Tensor) -> Tensor:
        rows = indices // points
        marked = place[rows] < counts[indices % points].view(-1, 1, 1, 1)
        known = marked if marked_are == "kept" else ~marked
        if still is None:
            assert callable(fill)
            return fill(images[rows], known)
        return torch.where(known, images[rows], still[rows])

    asked = ask(probabilities, draw, len(images) * points, targets.repeat_interleave(points), batch)
    curve = asked.view(-1, points)
    curve[~masks.flatten(1).isfinite().all(1)] = torch.nan
    return Curve((curve[:, 1:] + curve[:, :-1]).mean(1) / 2, curve)

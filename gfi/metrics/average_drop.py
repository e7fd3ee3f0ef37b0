"""Average drop and increase (Chattopadhay et al., Grad-CAM++, 2018): the image seen through its mask.

With Y the target's probability on the photograph and O that on photograph × mask (what is covered
fades to the mean colour, zero after normalisation):

    drop = max(0, Y − O)/Y        lower is better
    increase = 1 if O > Y else 0  higher is better

Averages over images are the caller's; a full mask scores perfectly, so read them beside `area`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities, ask, check
from gfi.metrics.sample import Sample


class Drop(NamedTuple):
    """drop: (N,) float64 in [0, 1]; increase: (N,) bool; whole, masked: (N,) target probabilities.

    drop is not-a-number where Y is zero or the mask is not finite; increase is False there.
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
    """images: (N, C, H, W) normalised; masks: (N, 1, H, W); targets: (N,); fill: default zero."""
    check(images, masks, targets)
    masks, targets = masks.to(images.device), targets.to(images.device)
    base = (images.new_zeros(()) if fill is None else fill.to(images)).expand_as(images)
    finite = masks.flatten(1).isfinite().all(1)
    whole = ask(probabilities, lambda i: images[i], len(images), targets, batch)

    def covered(indices: Tensor) -> Tensor:
        return torch.lerp(base[indices], images[indices], masks[indices].to(images))

    masked = ask(probabilities, covered, len(images), targets, batch)
    masked = torch.where(finite, masked, torch.nan)
    drop = torch.where(whole > 0, (whole - masked).clamp(min=0) / whole, torch.nan)
    return Drop(drop, masked > whole, whole, masked)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"average_drop": float(average_drop(*sample.batch).drop[0])}

"""Average gain: how much the probability rises on the image multiplied by its mask, of what it could rise.

With Y the target's probability on the image and O that on image × mask, where covered pixels are replaced by the mean
that the normalisation subtracts (zero after it):

    gain = max(0, O − Y)/(1 − Y)        higher is better

It is the counterpart of average drop (`gfi.metrics.average_drop`): a method that optimises O improves both, so they are
no evidence of faithfulness by themselves. Averaging over images is left to the caller.

References
----------
Zhang, Torres, Sicre, Avrithis, Ayache, "Opti-CAM: Optimizing saliency maps for interpretability", Computer Vision and
Image Understanding 248, 2024.
"""

import torch
from torch import Tensor

from gfi.metrics.average_drop import Drop, average_drop
from gfi.metrics.sample import Sample


def average_gain(drop: Drop) -> Tensor:
    """The gain of N images, (N,) float64 in [0, 1], from what `average_drop` measured.

    Not-a-number where Y is 1 or the mask is not finite.

    Examples
    --------
    >>> values = torch.tensor([0.2, 0.9, 1.0], dtype=torch.float64)
    >>> average_gain(Drop(values, values > 0, whole=values, masked=torch.full_like(values, 0.6)))
    tensor([0.5000, 0.0000,    nan], dtype=torch.float64)
    """
    gain = (drop.masked - drop.whole).clamp(min=0) / (1 - drop.whole)
    return torch.where(drop.whole < 1, gain, torch.nan)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"average_gain": float(average_gain(average_drop(*sample.batch))[0])}

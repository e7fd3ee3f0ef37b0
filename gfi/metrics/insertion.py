"""Insertion: how fast the class appears when the pixels that the mask marks are shown first.

Starts from the blurred image (σ = 11, the fill of the guided-inversion paper) and inserts the photograph's pixels in
mask order, H·W/28 per step. The score is the area under the target's probability (`gfi.metrics.curves`). **Higher is
better.**

References
----------
Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
"""

from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities
from gfi.metrics.curves import Curve, Fill, probability_curve
from gfi.metrics.fills import blurred
from gfi.metrics.sample import Sample


def insertion(
    probabilities: Probabilities,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    fill: Fill | None = None,
    batch: int = BATCH,
) -> Curve:
    """The insertion score; higher is better.

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
    fill : Tensor or callable, optional
        The value of a pixel before it is inserted, see `gfi.metrics.curves.Fill`; the blurred image by default.
    batch : int
        Images in one forward pass.

    Returns
    -------
    Curve
        Areas (N,) in [0, 1] and curves (N, 29).

    Raises
    ------
    ValueError
        When the shapes do not fit each other.

    References
    ----------
    Petsiuk, Das, Saenko, "RISE", BMVC 2018.

    Examples
    --------
    Only the upper half counts for this classifier. A mask that marks it first has the higher score.

    >>> import torch
    >>> def upper_half(x):
    ...     p = x[:, :, :2].mean((1, 2, 3))
    ...     return torch.stack([p, 1 - p], 1)
    >>> image, good = torch.ones(1, 1, 4, 7), torch.zeros(1, 1, 4, 7)
    >>> good[:, :, :2] = 1
    >>> black, target = torch.zeros(1), torch.tensor([0])
    >>> right, wrong = (insertion(upper_half, image, m, target, black).area.item() for m in (good, 1 - good))
    >>> round(right, 6), round(wrong, 6)
    (0.75, 0.25)
    """
    base = blurred(images) if fill is None else fill
    return probability_curve(probabilities, images, masks, targets, base, "kept", batch)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"insertion": float(insertion(*sample.batch).area[0])}

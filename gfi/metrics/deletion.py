"""Deletion: how fast the class disappears when the pixels that the mask marks are removed first.

Pixels are removed in mask order, H·W/28 per step, and replaced by the mean that the normalisation subtracts (zero
after it). The score is the area under the target's probability (`gfi.metrics.curves`). **Lower is better.** A random
order destroys the image's structure too, so read the score against the controls (`gfi.peers.controls`), and with a fill
that the explained method never used (`gfi.metrics.fills`).

References
----------
Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
"""

from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities
from gfi.metrics.curves import Curve, Fill, probability_curve
from gfi.metrics.sample import Sample


def deletion(
    probabilities: Probabilities,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    fill: Fill | None = None,
    batch: int = BATCH,
) -> Curve:
    """The deletion score; lower is better.

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
        What replaces removed pixels, see `gfi.metrics.curves.Fill`; by default zero, the mean that the normalisation
        subtracts.
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
    Only the upper half counts for this classifier. A mask that marks it first has the lower score.

    >>> import torch
    >>> def upper_half(x):
    ...     p = x[:, :, :2].mean((1, 2, 3))
    ...     return torch.stack([p, 1 - p], 1)
    >>> image, good = torch.ones(1, 1, 4, 7), torch.zeros(1, 1, 4, 7)
    >>> good[:, :, :2] = 1
    >>> right, wrong = (deletion(upper_half, image, m, torch.tensor([0])).area.item() for m in (good, 1 - good))
    >>> round(right, 6), round(wrong, 6)
    (0.25, 0.75)
    """
    base = images.new_zeros(()) if fill is None else fill
    return probability_curve(probabilities, images, masks, targets, base, "removed", batch)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"deletion": float(deletion(*sample.batch).area[0])}

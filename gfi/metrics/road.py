"""ROAD: deletion and insertion at nine fixed shares, with removed pixels imputed from their neighbours.

The first s of the pixels in mask order, for s = 0.1, 0.2 … 0.9, are removed (`road_deletion`) or are the only ones that
stay (`road_insertion`), and the rest is imputed by noisy linear interpolation (`gfi.metrics.fills.imputation`), which
reveals less about the shape of the removed part than a uniform colour. The score is the mean of the target's
probability over the nine shares. Deletion: lower is better; insertion: higher.

References
----------
Rong, Leemann, Borisov, Kasneci, Kasneci, "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
ICML 2022 (ROAD).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gfi.metrics.batched_probabilities import Probabilities, check_shapes, target_probabilities
from gfi.metrics.curves import ranks
from gfi.metrics.fills import imputation
from gfi.metrics.sample import Sample

SHARES = 9
"""Shares of the pixels: 1/10 to 9/10."""


class Road(NamedTuple):
    """Mean probabilities of N images, (N,) float64 in [0, 1] each; not-a-number for a mask that is not finite."""

    deletion: Tensor
    insertion: Tensor


@torch.no_grad()
def road(probabilities: Probabilities, images: Tensor, masks: Tensor, targets: Tensor, seed: int = 0) -> Road:
    """Both scores.

    Parameters
    ----------
    probabilities : callable
        Images (9, C, H, W) to class probabilities (9, K).
    images : Tensor
        (N, C, H, W), normalised.
    masks : Tensor
        (N, 1, H, W); only the order of their values matters.
    targets : Tensor
        (N,), class indices.
    seed : int
        Seed of the imputation's noise, which is the same for every image.

    Returns
    -------
    Road

    Raises
    ------
    ValueError
        When the shapes do not fit each other.

    References
    ----------
    Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022.

    Examples
    --------
    >>> mean_is_probability = lambda x: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)
    >>> image = torch.full((1, 1, 8, 8), 0.5)
    >>> scores = road(mean_is_probability, image, torch.rand(1, 1, 8, 8), torch.tensor([0]))
    >>> abs(float(scores.deletion) - 0.5) < 0.05
    True
    """
    check_shapes(images, masks, targets)
    masks, targets = masks.to(images.device), targets.to(images.device)
    rank, pixels, impute = ranks(masks), masks.shape[2] * masks.shape[3], imputation(seed=seed)
    counts = torch.arange(1, SHARES + 1, device=masks.device) * pixels // (SHARES + 1)

    def score(removed: bool) -> Tensor:
        def draw(indices: Tensor) -> Tensor:
            rows = indices // SHARES
            marked = rank[rows] < counts[indices % SHARES].view(-1, 1, 1, 1)
            return impute(images[rows], ~marked if removed else marked)

        repeated = targets.repeat_interleave(SHARES)
        values = target_probabilities(probabilities, draw, len(images) * SHARES, repeated, batch=SHARES)
        return torch.where(masks.flatten(1).isfinite().all(1), values.view(-1, SHARES).mean(1), torch.nan)

    return Road(score(True), score(False))


def measure(sample: Sample) -> dict[str, float]:
    """The columns of this metric for one explained image."""
    scores = road(*sample.batch)
    return {"road_deletion": float(scores.deletion[0]), "road_insertion": float(scores.insertion[0])}

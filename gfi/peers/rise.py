"""RISE: the average of random masks, each weighted by the probability of the image under it.

    Σ_i p_c(x ⊙ M_i) · M_i / Σ_i M_i,  then the minimum is subtracted and the rest divided by its maximum

p_c(x ⊙ M) is the probability of the class for the image multiplied by M: a pixel is important if the probability is
high under the masks that show it. The denominator is the sum of the masks at each pixel; the paper divides by its
expectation.

References
----------
Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.metrics.batched_probabilities import Probabilities
from gfi.peers.maps import softmax_of, unit


@torch.no_grad()
def rise(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
    batch: int = 32,
    probabilities: Probabilities | None = None,
) -> Tensor:
    """The average of random masks, weighted by the probability of the image under each.

    A mask is a grid of (cells + 1)² zeros and ones, up-sampled bilinearly and shifted by up to a cell. Covered pixels
    are replaced by the mean colour (zero after normalisation). The same masks are used for every image.

    Parameters
    ----------
    module : torch.nn.Module
        Images to logits (N, K), in eval mode.
    inputs : Tensor
        (N, C, H, W), normalised.
    targets : Tensor
        (N,), class indices.
    masks : int
        The number of masks.
    cells : int
        Cells along each side of the image.
    keep : float
        The probability that a cell shows the image.
    seed : int
        Seed of the masks, which are drawn on the CPU.
    batch : int
        Masked images in one forward pass; the masks do not depend on it.
    probabilities : callable, optional
        Images (B, C, H, W) to class probabilities (B, K); the softmax of `module` by default.

    Returns
    -------
    Tensor
        (N, 1, H, W) float64 in [0, 1].

    References
    ----------
    Petsiuk, Das, Saenko, "RISE", BMVC 2018.

    Examples
    --------
    Only the upper left quarter counts for this classifier.

    >>> net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> net[2].weight.data = torch.tensor([[9.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    >>> mask = rise(net, torch.ones(1, 1, 8, 8), torch.tensor([0]), masks=50, cells=2)
    >>> bool(mask[0, 0, :4, :4].mean() > mask[0, 0, 4:, 4:].mean())
    True
    """
    height, width = inputs.shape[2:]
    probability = probabilities or softmax_of(module)
    draw = torch.Generator().manual_seed(seed)
    grids = (torch.rand(masks, 1, cells + 1, cells + 1, generator=draw) < keep).to(inputs.dtype)
    shifts = torch.rand(masks, 2, generator=draw)
    tall, wide = math.ceil(height / cells), math.ceil(width / cells)
    total = torch.zeros(len(inputs), height * width, dtype=torch.float64, device=inputs.device)
    covered = torch.zeros(height * width, dtype=torch.float64, device=inputs.device)
    for first in range(0, masks, batch):
        grid = grids[first : first + batch]
        large = F.interpolate(
            grid, ((cells + 1) * tall, (cells + 1) * wide), mode="bilinear", align_corners=False
        )
        crops = []
        for mask, (down, across) in zip(large, shifts[first : first + batch].tolist(), strict=True):
            y, x = int(down * tall), int(across * wide)
            crops.append(mask[:, y : y + height, x : x + width])
        window = torch.stack(crops).to(inputs.device)
        flat = window.flatten(1).double()
        covered += flat.sum(0)
        for i, target in enumerate(targets.tolist()):
            total[i] += probability(inputs[i : i + 1] * window)[:, target].double() @ flat
    maps = total / covered.clamp(min=torch.finfo(torch.float64).tiny)
    low = maps.amin(1, keepdim=True)
    return unit((maps - low).view(len(inputs), 1, height, width))

"""RISE: the average of random masks, weighted by the probability that each leaves.

    Σ_i p_c(x ⊙ M_i) · M_i / Σ_i M_i, then min-max scaled

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
    """RISE with `masks` random masks, each a (cells+1)² grid of zeros and ones, up-sampled and shifted.

    What a mask covers fades to the mean colour (zero). The same masks, drawn from `seed` on the CPU, serve
    every image; `batch` bounds memory and does not change them.
    """
    height, width = inputs.shape[2:]
    probability = probabilities or softmax_of(module)
    coins = torch.Generator().manual_seed(seed)
    grids = (torch.rand(masks, 1, cells + 1, cells + 1, generator=coins) < keep).to(inputs.dtype)
    shifts = torch.rand(masks, 2, generator=coins)
    tall, wide = math.ceil(height / cells), math.ceil(width / cells)
    total = torch.zeros(len(inputs), height * width, dtype=torch.float64, device=inputs.device)
    covered = torch.zeros(height * width, dtype=torch.float64, device=inputs.device)
    for first in range(0, masks, batch):
        grid = grids[first : first + batch]
        large = F.interpolate(
            grid, ((cells + 1) * tall, (cells + 1) * wide), mode="bilinear", align_corners=False
        )
        crops = []
        for one, (down, across) in zip(large, shifts[first : first + batch].tolist(), strict=True):
            y, x = int(down * tall), int(across * wide)
            crops.append(one[:, y : y + height, x : x + width])
        window = torch.stack(crops).to(inputs.device)
        flat = window.flatten(1).double()
        covered += flat.sum(0)
        for i, target in enumerate(targets.tolist()):
            total[i] += probability(inputs[i : i + 1] * window)[:, target].double() @ flat
    maps = total / covered.clamp(min=torch.finfo(torch.float64).tiny)
    low = maps.amin(1, keepdim=True)
    return unit((maps - low).view(len(inputs), 1, height, width))

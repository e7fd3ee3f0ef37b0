"""RISE: the average of random masks, each weighted by the probability of the image under it.

    Σ_i p_c(x ⊙ M_i) · M_i / Σ_i M_i,  then the minimum is subtracted and the rest divided by its maximum

p_c(x ⊙ M) is the probability of the class for the image multiplied by M: a pixel is important if the probability is
high under the masks that show it. The denominator is the sum of the masks at each pixel; the paper divides by its
expectation.

References
----------
Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
"""

import itertools
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.method.rows import Rows
from gfi.metrics.batched_probabilities import Probabilities
from gfi.peers.maps import cells as cells_of
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
    total = torch.zeros(len(inputs), height * width, dtype=torch.float64, device=inputs.device)
    covered = torch.zeros(height * width, dtype=torch.float64, device=inputs.device)
    drawn = random_masks(masks, cells, keep, seed, (height, width), inputs.dtype)
    while group := list(itertools.islice(drawn, batch)):
        window = torch.stack(group).to(inputs.device)
        flat = window.flatten(1).double()
        covered += flat.sum(0)
        for i, target in enumerate(targets.tolist()):
            total[i] += probability(inputs[i : i + 1] * window)[:, target].double() @ flat
    maps = total / covered.clamp(min=torch.finfo(torch.float64).tiny)
    low = maps.amin(1, keepdim=True)
    return unit((maps - low).view(len(inputs), 1, height, width))


def random_masks(
    count: int, cells: int, keep: float, seed: int, size: tuple[int, int], dtype: torch.dtype
) -> Iterator[Tensor]:
    """RISE's masks, one at a time: (1, H, W) in [0, 1], on the CPU; `size` is (H, W)."""
    height, width = size
    draw = torch.Generator().manual_seed(seed)
    grids = (torch.rand(count, 1, cells + 1, cells + 1, generator=draw) < keep).to(dtype)
    shifts = torch.rand(count, 2, generator=draw).tolist()
    tall, wide = math.ceil(height / cells), math.ceil(width / cells)
    for grid, (down, across) in zip(grids, shifts, strict=True):
        large = F.interpolate(
            grid[None], ((cells + 1) * tall, (cells + 1) * wide), mode="bilinear", align_corners=False
        )
        y, x = int(down * tall), int(across * wide)
        yield large[0, :, y : y + height, x : x + width]


@torch.no_grad()
def maps(rows: Rows, features: Tensor, tick: Callable[[], None]) -> Tensor:
    """The weighted average of the masks over cells, less its minimum, (B, h, w), of the images in `rows`.

    Every pass shows all images under one mask. features: not used. tick: called after every pass.
    """
    recipe, images = rows.recipe, rows.images
    size = (images.shape[2], images.shape[3])
    total = covered = torch.zeros((), dtype=torch.float64, device=images.device)
    for mask in random_masks(
        recipe.rise_masks, recipe.rise_cells, recipe.rise_keep, recipe.seed, size, torch.float32
    ):
        probability = rows.target_probability(rows.network.probabilities(images * mask.to(images)))
        small = cells_of(mask.double(), recipe.map_cells).to(images.device)
        total = total + probability.double().view(-1, 1, 1) * small
        covered = covered + small
        tick()
    average = total / covered.clamp(min=torch.finfo(torch.float64).tiny)
    return (average - average.amin((1, 2), keepdim=True)).to(images)

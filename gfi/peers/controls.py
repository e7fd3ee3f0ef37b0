"""Controls: masks that do not depend on the image, and a network with random weights.

Compare every score with those of the controls: a random mask as smooth as a real one, m = up(U(0, 1)); a Gaussian in
the middle, where most photographs show their object, m = exp(−(x² + y²)/2σ²); and the same architecture with random
weights, whose masks show how much of an explanation comes from the architecture alone.

References
----------
Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.peers.maps import unit


def random_mask(
    module: nn.Module | None, inputs: Tensor, targets: Tensor, *, cells: int = 14, seed: int = 0
) -> Tensor:
    """Uniform noise on a coarse grid, up-sampled bilinearly; another draw for each image.

    Noise of single pixels would not be a fair control: it destroys the texture of the whole image at once and so scores
    well in deletion.

    Parameters
    ----------
    module : torch.nn.Module or None
        Not used.
    inputs : Tensor
        (N, C, H, W); only its shape is used.
    targets : Tensor
        Not used.
    cells : int
        Cells along each side of the grid.
    seed : int
        Seed of the draw; the mask of an image depends on its position in the batch.

    Returns
    -------
    Tensor
        (N, 1, H, W) float32 in [0, 1], on the CPU.

    Examples
    --------
    >>> mask = random_mask(None, torch.zeros(1, 3, 8, 8), torch.tensor([0]), cells=4)
    >>> tuple(mask.shape), float(mask.max())
    ((1, 1, 8, 8), 1.0)
    """
    noise = torch.rand(len(inputs), 1, cells, cells, generator=torch.Generator().manual_seed(seed))
    return unit(F.interpolate(noise, inputs.shape[2:], mode="bilinear", align_corners=False))


def centred_mask(module: nn.Module | None, inputs: Tensor, targets: Tensor, *, sigma: float = 0.25) -> Tensor:
    """A Gaussian in the middle of the image.

    Parameters
    ----------
    module : torch.nn.Module or None
        Not used.
    inputs : Tensor
        (N, C, H, W); only its shape is used.
    targets : Tensor
        Not used.
    sigma : float
        σ as a share of each side.

    Returns
    -------
    Tensor
        (N, 1, H, W) float64 in [0, 1], on the CPU.

    Examples
    --------
    >>> centred_mask(None, torch.zeros(1, 3, 3, 3), torch.tensor([0]))[0, 0, 1, 1]
    tensor(1., dtype=torch.float64)
    """
    bells = []
    for size in inputs.shape[2:]:
        offset = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
        bells.append(torch.exp(-(offset**2) / (2 * sigma**2)))
    bell = torch.outer(*bells)
    return unit(bell.expand(len(inputs), 1, *bell.shape))


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of a network with random weights.

    Weights of two or more dimensions are drawn from N(0, 2/fan_in), which keeps the variance of activations through
    rectified layers; normalisation layers become the identity, and biases zero.

    Parameters
    ----------
    module : torch.nn.Module
        Left unchanged.
    seed : int
        Seed of the draw: the same seed gives the same weights.

    Returns
    -------
    torch.nn.Module
        In eval mode.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015.

    Examples
    --------
    >>> net = nn.Linear(2, 2)
    >>> blank, again = randomised(net, seed=1), randomised(net, seed=1)
    >>> torch.equal(blank.weight, again.weight), torch.equal(blank.weight, net.weight)
    (True, False)
    """
    blank = copy.deepcopy(module).eval()
    draw = torch.Generator().manual_seed(seed)
    normalised = {
        id(p)
        for child in blank.modules()
        if "norm" in type(child).__name__.lower()
        for p in child.parameters(recurse=False)
    }
    with torch.no_grad():
        for name, parameter in blank.named_parameters():
            if parameter.ndim >= 2 and id(parameter) not in normalised:
                fan_in = parameter[0].numel()
                values = torch.randn(parameter.shape, generator=draw) * math.sqrt(2 / fan_in)
                parameter.copy_(values)
            else:
                parameter.fill_(1.0 if id(parameter) in normalised and name.endswith("weight") else 0.0)
        for child in blank.modules():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                child.reset_running_stats()
    return blank

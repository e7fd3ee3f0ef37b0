"""Controls: masks that know nothing of the image, and a network that forgot its training.

Every score is read against them: a random mask as smooth as a real one, a Gaussian in the middle, where photographers
put their subjects, and the same architecture with random weights (Adebayo et al., "Sanity Checks for Saliency Maps",
NeurIPS 2018).
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
    """Control: uniform noise on cells×cells, up-sampled bilinearly; another draw for every image.

    Noise by the pixel would not do: it destroys texture everywhere at once and so flatters deletion.
    """
    noise = torch.rand(len(inputs), 1, cells, cells, generator=torch.Generator().manual_seed(seed))
    return unit(F.interpolate(noise, inputs.shape[2:], mode="bilinear", align_corners=False))


def centred_mask(module: nn.Module | None, inputs: Tensor, targets: Tensor, *, sigma: float = 0.25) -> Tensor:
    """Control: a Gaussian in the middle, σ the share `sigma` of each side."""
    bells = []
    for size in inputs.shape[2:]:
        place = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
        bells.append(torch.exp(-(place**2) / (2 * sigma**2)))
    bell = torch.outer(*bells)
    return unit(bell.expand(len(inputs), 1, *bell.shape))


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of `module` that has forgotten its training, the same for the same seed, in eval mode.

    Weights of two or more dimensions are drawn from N(0, 2/fan_in) (He et al., 2015), which keeps the
    signal's size through rectified layers; normalisation layers become the identity and biases zero.
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

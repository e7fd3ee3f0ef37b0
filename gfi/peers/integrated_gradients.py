"""Integrated gradients: the gradient along the straight path from the mean colour to the image.

    Σ_channels |(x − x') · ∫₀¹ ∂y_c/∂x (x' + a(x − x')) da|,   x' = 0, the mean colour after normalisation

References
----------
Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017. Computed by Captum.
"""

import torch
from torch import Tensor, nn

from gfi.peers.maps import unit


def integrated_gradients(
    module: nn.Module, inputs: Tensor, targets: Tensor, *, steps: int = 32, batch: int = 32
) -> Tensor:
    """Integrated gradients (N, 1, H, W) in [0, 1]. steps: of the path; batch: of its points in one pass."""
    from captum.attr import IntegratedGradients

    path = IntegratedGradients(module)
    maps = [
        path.attribute(image[None], baselines=0, target=target, n_steps=steps, internal_batch_size=batch)
        for image, target in zip(inputs, targets.tolist(), strict=True)
    ]
    return unit(torch.cat(maps).abs().sum(1, keepdim=True))

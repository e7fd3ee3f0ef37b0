"""Integrated gradients: the gradient averaged along the straight path from the mean colour to the image.

    Σ_channels |(x − x') · ∫₀¹ ∂y_c/∂x (x' + a(x − x')) da|,   x' = 0, the mean colour after normalisation

y_c is the class's output before the softmax. Before the absolute value, the attributions of all pixels sum to the
difference of y_c between image and x' (completeness). Captum computes them.

References
----------
Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.
"""

import torch
from torch import Tensor, nn

from gfi.peers.maps import unit


def integrated_gradients(
    module: nn.Module, inputs: Tensor, targets: Tensor, *, steps: int = 32, batch: int = 32
) -> Tensor:
    """The absolute integrated gradients, summed over channels.

    Parameters
    ----------
    module : torch.nn.Module
        Images to logits (N, K), in eval mode.
    inputs : Tensor
        (N, C, H, W), normalised.
    targets : Tensor
        (N,), class indices.
    steps : int
        Points on the path.
    batch : int
        Points in one forward and backward pass.

    Returns
    -------
    Tensor
        (N, 1, H, W) in [0, 1].

    References
    ----------
    Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> net[1].weight.data = torch.tensor([[1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
    >>> integrated_gradients(net, torch.ones(1, 1, 2, 2), torch.tensor([0]))
    tensor([[[[1.0000, 0.0000],
              [0.0000, 0.5000]]]])
    """
    from captum.attr import IntegratedGradients

    path = IntegratedGradients(module)
    maps = [
        path.attribute(image[None], baselines=0, target=target, n_steps=steps, internal_batch_size=batch)
        for image, target in zip(inputs, targets.tolist(), strict=True)
    ]
    return unit(torch.cat(maps).abs().sum(1, keepdim=True))

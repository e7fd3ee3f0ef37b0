"""Integrated gradients: the gradient averaged along the straight path from the mean colour to the image.

    Σ_channels |(x − x') · ∫₀¹ ∂y_c/∂x (x' + a(x − x')) da|,   x' = 0, the mean colour after normalisation

y_c is the class's output before the softmax. Before the absolute value, the attributions of all pixels sum to the
difference of y_c between image and x' (completeness). Captum computes them.

References
----------
Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gfi.method.rows import Rows
from gfi.peers.maps import cells, unit


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


def maps(rows: Rows, features: Tensor, tick: Callable[[], None]) -> Tensor:
    """The absolute integrated gradients, summed over channels and averaged over cells, (B, h, w).

    The path is cut into `Recipe.path_steps` parts, and the gradient taken in the middle of each. features: not used.
    tick: called after every pass.
    """
    steps = rows.recipe.path_steps
    total = torch.zeros_like(rows.images)
    for k in range(steps):
        with torch.enable_grad():
            point = (rows.images * ((k + 0.5) / steps)).requires_grad_()
            score = rows.network.scores(point, rows.target, rows.foil)
            (gradient,) = torch.autograd.grad(score.sum(), point)
        total = total + gradient
        tick()
    return cells((rows.images * total / steps).abs().sum(1), rows.recipe.map_cells)

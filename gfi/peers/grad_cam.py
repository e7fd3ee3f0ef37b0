"""Grad-CAM: the channels of a layer, each weighted by its mean gradient.

    max(0, Σ_k α_k A^k),   α_k = mean over the map of ∂y_c/∂A^k

A^k is channel k of the layer and y_c the class's output before the softmax. The weight is the change of the class score
with the channel as a whole, so the map's detail comes from the activations alone.

References
----------
Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017.
"""

from collections.abc import Callable

from torch import Tensor, nn

from gfi.method.rows import Rows
from gfi.peers.gradients import features_and_gradients
from gfi.peers.maps import at_input_size


def grad_cam(module: nn.Module, inputs: Tensor, targets: Tensor, *, layer: str, batch: int = 8) -> Tensor:
    """The Grad-CAM map of a layer.

    Parameters
    ----------
    module : torch.nn.Module
        Images to logits (N, K), in eval mode.
    inputs : Tensor
        (N, C, H, W), normalised.
    targets : Tensor
        (N,), class indices.
    layer : str
        As `gfi layers` writes it; ``:relu`` rectifies its map.
    batch : int
        Images in one forward and backward pass.

    Returns
    -------
    Tensor
        (N, 1, H, W) in [0, 1].

    Raises
    ------
    MethodError
        When the layer does not exist or gives no map.

    References
    ----------
    Selvaraju et al., "Grad-CAM", ICCV 2017.

    Examples
    --------
    >>> import torch
    >>> conv = torch.nn.Conv2d(3, 4, 3)
    >>> net = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    >>> grad_cam(net, torch.randn(2, 3, 8, 8), torch.tensor([0, 1]), layer="0").shape
    torch.Size([2, 1, 8, 8])
    """
    features, gradients = features_and_gradients(module, inputs, targets, layer, batch)
    weights = gradients.mean((2, 3), keepdim=True)
    return at_input_size((weights * features).sum(1, keepdim=True), inputs)


def maps(rows: Rows, features: Tensor, tick: Callable[[], None]) -> Tensor:
    """The map of the inverted layer before rectification, (B, h, w), of the images in `rows`.

    features: not used. tick: called after the pass.
    """
    grid = rows.network.grad_cam(rows.images, rows.target, rows.foil, centred=False)
    tick()
    return grid

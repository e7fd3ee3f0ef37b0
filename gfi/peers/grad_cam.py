"""Grad-CAM: the channels of a layer, each weighted by its mean gradient.

    max(0, Σ_k α_k A^k),   α_k = mean over the map of ∂y_c/∂A^k

A^k: channel k of the layer; y_c: the class's output before softmax.

References
----------
Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.
"""

from torch import Tensor, nn

from gfi.peers.gradients import features_and_gradients
from gfi.peers.maps import at_input_size


def grad_cam(module: nn.Module, inputs: Tensor, targets: Tensor, *, layer: str, batch: int = 8) -> Tensor:
    """Grad-CAM's map at a layer.

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
        Images in one pass.

    Returns
    -------
    Tensor
        (N, 1, H, W) in [0, 1].

    Raises
    ------
    MethodError
        When the layer does not exist or gives no map.
    """
    features, gradients = features_and_gradients(module, inputs, targets, layer, batch)
    weights = gradients.mean((2, 3), keepdim=True)
    return at_input_size((weights * features).sum(1, keepdim=True), inputs)

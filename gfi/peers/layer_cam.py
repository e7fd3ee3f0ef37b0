"""LayerCAM: every cell of a layer weighted by its own positive gradient.

    max(0, Σ_k max(0, ∂y_c/∂A^k) ⊙ A^k)

A^k is channel k of the layer and y_c the class's output before the softmax. Grad-CAM gives one weight to a channel;
here each position has its own, so maps of earlier layers keep their detail.

References
----------
Jiang, Zhang, Hou, Cheng, Wei, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE
Transactions on Image Processing 30, 2021.
"""

from torch import Tensor, nn

from gfi.peers.gradients import features_and_gradients
from gfi.peers.maps import at_input_size


def layer_cam(module: nn.Module, inputs: Tensor, targets: Tensor, *, layer: str, batch: int = 8) -> Tensor:
    """The LayerCAM map of a layer.

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
    Jiang et al., "LayerCAM", IEEE Transactions on Image Processing, 2021.

    Examples
    --------
    >>> import torch
    >>> conv = torch.nn.Conv2d(3, 4, 3)
    >>> net = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    >>> layer_cam(net, torch.randn(2, 3, 8, 8), torch.tensor([0, 1]), layer="0:relu").shape
    torch.Size([2, 1, 8, 8])
    """
    features, gradients = features_and_gradients(module, inputs, targets, layer, batch)
    return at_input_size((gradients.clamp(min=0) * features).sum(1, keepdim=True), inputs)

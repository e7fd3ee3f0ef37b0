"""LayerCAM: every cell of a layer weighted by its own positive gradient.

    max(0, Σ_k max(0, ∂y_c/∂A^k) ⊙ A^k)

References
----------
Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE TIP 2021.
"""

from torch import Tensor, nn

from gfi.peers.gradients import features_and_gradients
from gfi.peers.maps import at_input_size


def layer_cam(module: nn.Module, inputs: Tensor, targets: Tensor, *, layer: str, batch: int = 8) -> Tensor:
    """LayerCAM's map at a layer; parameters, shapes and errors as `gfi.peers.grad_cam`."""
    features, gradients = features_and_gradients(module, inputs, targets, layer, batch)
    return at_input_size((gradients.clamp(min=0) * features).sum(1, keepdim=True), inputs)

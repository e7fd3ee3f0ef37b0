"""The activations of a layer and the gradients of a class with respect to them, which the CAM methods need."""

import torch
from torch import Tensor, nn

from gfi.domain import layer_names
from gfi.domain.errors import MethodError


def features_and_gradients(
    module: nn.Module, inputs: Tensor, targets: Tensor, layer: str, batch: int
) -> tuple[Tensor, Tensor]:
    """A and ∂y_c/∂A at `layer`, both (N, K, h, w), computed `batch` images at a time.

    With ``:relu`` A is rectified; the gradient is still that with respect to the map before rectification. If a module
    runs several times, its last call is used. Raises MethodError for a layer that does not exist, does not run or gives
    no map.
    """
    name, tokens, rectify = layer_names.parse_layer(layer)
    if tokens:
        raise MethodError(f"layer `{layer}`: this method reads maps, not tokens; name a convolution's layer")
    try:
        child = module.get_submodule(name)
    except AttributeError:
        names = [n for n, _ in module.named_modules() if n]
        raise MethodError(layer_names.missing_layer(name, names, [], type(module).__name__)) from None
    last: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        last[:] = [output]
        return output.clone()  # an in-place ReLU after the layer would change the output itself

    features, gradients = [], []
    handle = child.register_forward_hook(keep)
    try:
        for images, classes in zip(inputs.split(batch), targets.split(batch), strict=True):
            last.clear()
            with torch.enable_grad():
                # If the weights are frozen, the graph must start at the image.
                logits = module(images.clone().requires_grad_())
                if not last:
                    raise MethodError(
                        f"layer `{name}` did not run in this pass; name one that runs for every image"
                    )
                chosen = logits.gather(1, classes.unsqueeze(1)).sum()
                gradients.append(torch.autograd.grad(chosen, last[0])[0])
            features.append(last[0].detach())
    finally:
        handle.remove()
    activations = torch.cat(features)
    if activations.ndim != 4:
        raise MethodError(
            f"layer `{name}` gives {'×'.join(map(str, activations.shape[1:]))}, not channels × h × w; "
            "name a convolution's layer, `gfi layers` lists them"
        )
    return activations.relu() if rectify else activations, torch.cat(gradients)

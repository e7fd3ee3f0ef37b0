"""The methods that masks are compared with, and the controls, under one signature.

    explain("grad-cam", module, inputs, targets, layer="layer4") -> (N, 1, H, W) in [0, 1]

One file per method; each begins with its theory, its equation and its reference. Every map is divided by its own
maximum, image by image; a map without positive values is all zero. Captum computes integrated gradients and occlusion,
and is imported only when one of them is called.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gfi.domain.errors import MethodError
from gfi.peers.controls import centred_mask, random_mask, randomised
from gfi.peers.grad_cam import grad_cam
from gfi.peers.integrated_gradients import integrated_gradients
from gfi.peers.layer_cam import layer_cam
from gfi.peers.maps import unit
from gfi.peers.occlusion import occlusion
from gfi.peers.rise import rise

__all__ = [
    "METHODS",
    "NEED_LAYER",
    "centred_mask",
    "explain",
    "grad_cam",
    "integrated_gradients",
    "layer_cam",
    "occlusion",
    "random_mask",
    "randomised",
    "rise",
    "unit",
]

METHODS: dict[str, Callable[..., Tensor]] = {
    "grad-cam": grad_cam,
    "layer-cam": layer_cam,
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
    "rise": rise,
    "random": random_mask,
    "centred": centred_mask,
}
"""Method name → the function that computes it; its keyword arguments are the options of `explain`."""

NEED_LAYER = frozenset({"grad-cam", "layer-cam"})
"""Methods that read the map of one layer and so need `layer`."""


def explain(
    method: str,
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    layer: str | None = None,
    **options: Any,
) -> Tensor:
    """The maps of one method.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    module : torch.nn.Module
        Images to logits (N, K), in eval mode.
    inputs : Tensor
        (N, C, H, W), normalised.
    targets : Tensor
        (N,), class indices.
    layer : str, optional
        The layer that a method of `NEED_LAYER` reads, as `gfi layers` writes it; ``:relu`` rectifies its map. If a
        module runs several times in a pass, its last call is used.
    **options
        Keyword arguments of the method's own function.

    Returns
    -------
    Tensor
        (N, 1, H, W) in [0, 1], in the dtype and on the device of `inputs`.

    Raises
    ------
    MethodError
        For an unknown method, a missing layer, or shapes that do not fit each other.

    Examples
    --------
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    >>> explain("centred", net, torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])).shape
    torch.Size([2, 1, 8, 8])
    """
    if method not in METHODS:
        raise MethodError(f"there is no method `{method}`; choose one of {', '.join(METHODS)}")
    if inputs.ndim != 4 or targets.shape != (len(inputs),):
        raise MethodError(
            f"inputs are (N, C, H, W) with one target each, not {tuple(inputs.shape)} with {tuple(targets.shape)}"
        )
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise MethodError(f"targets are the numbers of classes, whole numbers from 0, not {targets.dtype}")
    if (targets < 0).any():
        raise MethodError(f"targets are the numbers of classes from 0, not {int(targets.min())}")
    if method in NEED_LAYER:
        if layer is None:
            raise MethodError(f"{method} needs a layer; `gfi layers` lists a network's")
        options["layer"] = layer
    try:
        maps = METHODS[method](module, inputs.detach(), targets.to(inputs.device).long(), **options)
    except (IndexError, RuntimeError) as error:
        if "out of bounds" not in str(error):
            raise
        raise MethodError(f"target {int(targets.max())} is not a class of the network") from error
    return maps.detach().to(inputs)

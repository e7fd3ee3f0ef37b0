"""Options that keep the methods quick on the tiny network."""

from typing import Any

from torch import Tensor, nn

from gfi.peers import NEED_LAYER, explain

OPTIONS: dict[str, dict[str, Any]] = {
    "rise": {"masks": 40},
    "integrated-gradients": {"steps": 8},
    "occlusion": {"window": 6, "stride": 4},
}


def run(method: str, net: nn.Module, images: Tensor, targets: Tensor, **options: Any) -> Tensor:
    """`explain` with these options, at the second convolution where the method needs a layer."""
    layer = "3" if method in NEED_LAYER else None
    return explain(method, net, images, targets, layer=layer, **OPTIONS.get(method, {}), **options)

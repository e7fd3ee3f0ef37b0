"""Occlusion: how far the probability falls, on average over the square windows that cover a pixel.

References
----------
Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014. Computed by Captum.
"""

import torch
from torch import Tensor, nn

from gfi.metrics.batched_probabilities import Probabilities
from gfi.peers.maps import softmax_of, unit


def occlusion(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
    batch: int = 32,
    probabilities: Probabilities | None = None,
) -> Tensor:
    """Occlusion by windows of the mean colour (zero): (N, 1, H, W) in [0, 1].

    window, stride: pixels, default 1/7 and 1/14 of the shorter side (32 and 16 at 224). probabilities:
    default softmax of `module`.
    """
    from captum.attr import Occlusion

    side = min(inputs.shape[2:])
    width = window or max(1, side // 7)
    step = min(stride or max(1, side // 14), width)  # captum wants every pixel covered
    channels = inputs.shape[1]
    windows = Occlusion(probabilities or softmax_of(module))
    falls = [
        windows.attribute(
            image[None],
            sliding_window_shapes=(channels, width, width),
            strides=(channels, step, step),
            baselines=0,
            target=target,
            perturbations_per_eval=batch,
        )
        for image, target in zip(inputs, targets.tolist(), strict=True)
    ]
    return unit(torch.cat(falls).mean(1, keepdim=True))

"""Occlusion: how much the probability drops when a square window that contains the pixel is covered.

    mean over windows W ∋ u of  p_c(x) − p_c(x with W covered),  negative means as 0

A window is covered with the mean colour (zero after normalisation). Captum computes it.

References
----------
Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gfi.method.rows import Rows
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
    """The mean drop of the probability over the windows that contain a pixel.

    Parameters
    ----------
    module : torch.nn.Module
        Images to logits (N, K), in eval mode.
    inputs : Tensor
        (N, C, H, W), normalised.
    targets : Tensor
        (N,), class indices.
    window, stride : int, optional
        Side of a window and distance between windows, in pixels; by default 1/7 and 1/14 of the shorter side (32 and 16
        at 224).
    batch : int
        Covered images in one forward pass.
    probabilities : callable, optional
        Images (B, C, H, W) to class probabilities (B, K); the softmax of `module` by default.

    Returns
    -------
    Tensor
        (N, 1, H, W) in [0, 1].

    References
    ----------
    Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.

    Examples
    --------
    Only the upper left pixel counts for this classifier.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> net[1].weight.data = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    >>> with torch.no_grad():
    ...     occlusion(net, torch.ones(1, 1, 2, 2), torch.tensor([0]))
    tensor([[[[1., 0.],
              [0., 0.]]]])
    """
    from captum.attr import Occlusion

    side = min(inputs.shape[2:])
    width = window or max(1, side // 7)
    step = min(stride or max(1, side // 14), width)  # Captum requires that the windows leave no gap
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


@torch.no_grad()
def maps(rows: Rows, features: Tensor, tick: Callable[[], None]) -> Tensor:
    """The mean drop of the probability over the windows that contain a cell, (B, h, w), of the images in `rows`.

    The image is cut into `Recipe.occlusion_cells` cells along each side, at rounded pixels; a window of
    `occlusion_window` cells moves by one. features: not used. tick: called after every pass.
    """
    recipe, images = rows.recipe, rows.images
    height, width = (min(recipe.occlusion_cells, side) for side in images.shape[2:])
    tall, wide = min(recipe.occlusion_window, height), min(recipe.occlusion_window, width)
    top = [round(i * images.shape[2] / height) for i in range(height + 1)]
    left = [round(j * images.shape[3] / width) for j in range(width + 1)]
    total = images.new_zeros(rows.batch, height, width)
    windows = images.new_zeros(height, width)
    for i in range(height - tall + 1):
        for j in range(width - wide + 1):
            covered = images.clone()
            covered[:, :, top[i] : top[i + tall], left[j] : left[j + wide]] = 0
            probability = rows.target_probability(rows.network.probabilities(covered))
            total[:, i : i + tall, j : j + wide] += (rows.probability - probability).view(-1, 1, 1)
            windows[i : i + tall, j : j + wide] += 1
            tick()
    return total / windows

"""Probabilities of many images in bounded memory, always at one batch shape.

Rounding depends on the shape of a batch but, at one shape, not on an image's slot or its neighbours. Every batch is
therefore filled up to `batch` images by repeating the last one, so that the score of an image does not depend on the
other images.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Probabilities = Callable[[Tensor], Tensor]
"""Images (B, C, H, W), normalised, to class probabilities (B, K) in [0, 1]."""

BATCH = 29
"""Images in one forward pass: the points of one deletion or insertion curve."""


@torch.no_grad()
def target_probabilities(
    probabilities: Probabilities,
    draw: Callable[[Tensor], Tensor],
    count: int,
    targets: Tensor,
    batch: int = BATCH,
) -> Tensor:
    """The target's probability for each of `count` images, drawn one batch at a time.

    Parameters
    ----------
    probabilities : callable
        Images (batch, C, H, W) to class probabilities (batch, K).
    draw : callable
        Indices (batch,) below `count` to images (batch, C, H, W).
    count : int
        The number of images.
    targets : Tensor
        (count,), class indices; their device is where the indices are made.
    batch : int
        Images in one forward pass.

    Returns
    -------
    Tensor
        (count,) float64 in [0, 1].

    Raises
    ------
    ValueError
        When a target is no class of the network.

    Examples
    --------
    >>> images = torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 3.0]]).view(3, 2, 1, 1)
    >>> softmax = lambda x: x.flatten(1).softmax(1)
    >>> target_probabilities(softmax, lambda i: images[i], 3, torch.tensor([0, 0, 1]), batch=2)
    tensor([0.2689, 0.8808, 0.5000], dtype=torch.float64)
    """
    parts = []
    for first in range(0, count, batch):
        indices = torch.arange(first, first + batch, device=targets.device).clamp(max=count - 1)
        of_all = probabilities(draw(indices))
        if not first and int(targets.max()) >= of_all.shape[1]:  # on a GPU the index would end the process
            raise ValueError(
                f"target {int(targets.max())} is not a class; classes are 0 to {of_all.shape[1] - 1}"
            )
        of_target = of_all.gather(1, targets[indices].long().unsqueeze(1)).squeeze(1)
        parts.append(of_target[: count - first].double())
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64, device=targets.device)


def check_shapes(images: Tensor, masks: Tensor, targets: Tensor) -> None:
    """Raise ValueError unless images are (N, C, H, W), masks (N, 1, H, W) and targets (N,) whole numbers from 0."""
    for name, given in (("images", images), ("masks", masks), ("targets", targets)):
        if not isinstance(given, Tensor):
            raise ValueError(f"{name} are a tensor, not a {type(given).__name__}; use torch.as_tensor")
    if images.ndim != 4 or masks.shape != (len(images), 1, *images.shape[2:]):
        raise ValueError(
            f"masks are (N, 1, H, W) for images {tuple(images.shape)}, not {tuple(masks.shape)}; "
            "resize the masks to the input size first"
        )
    if targets.shape != (len(images),):
        raise ValueError(f"{len(images)} images need as many targets, not {tuple(targets.shape)}")
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise ValueError(f"targets are the numbers of classes, whole numbers from 0, not {targets.dtype}")
    if (targets < 0).any():
        raise ValueError(f"targets are the numbers of classes from 0, not {int(targets.min())}")

"""Asking the network about many images in bounded memory, at one fixed batch shape.

Rounding depends on the shape of a batch but, at one shape, not on an image's slot or neighbours (see
method.md, section 3). So every request is filled up to `batch` rows by repeating the last one: a
metric of an image is the same number whatever else is measured beside it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Probabilities = Callable[[Tensor], Tensor]
"""Images (B, C, H, W), normalised, to class probabilities (B, K)."""

BATCH = 29
"""Images a request: the points of one deletion or insertion curve."""


@torch.no_grad()
def ask(
    probabilities: Probabilities,
    draw: Callable[[Tensor], Tensor],
    count: int,
    targets: Tensor,
    batch: int = BATCH,
) -> Tensor:
    """Target probability of `count` images that are drawn when they are needed: (count,) float64.

    draw: indices (B,) to images (B, C, H, W); targets: (count,) class indices.
    """
    answers = []
    for first in range(0, count, batch):
        indices = torch.arange(first, first + batch, device=targets.device).clamp(max=count - 1)
        answer = probabilities(draw(indices)).gather(1, targets[indices].unsqueeze(1)).squeeze(1)
        answers.append(answer[: count - first].double())
    return torch.cat(answers) if answers else torch.empty(0, dtype=torch.float64, device=targets.device)


def check(images: Tensor, masks: Tensor, targets: Tensor) -> None:
    """ValueError unless images are (N, C, H, W), masks (N, 1, H, W) and targets (N,)."""
    if images.ndim != 4 or masks.shape != (len(images), 1, *images.shape[2:]):
        raise ValueError(f"masks are (N, 1, H, W) for images {tuple(images.shape)}, not {tuple(masks.shape)}")
    if targets.shape != (len(images),):
        raise ValueError(f"{len(images)} images need as many targets, not {tuple(targets.shape)}")

"""One explained image, as a metric is given it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Box

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """A mask and what it can be measured against. Only metrics that need the network load torch."""

    mask: NDArray[np.float32]
    """(H, W) in [0, 1], at the input size."""
    target: int
    original_size: tuple[int, int]
    """(H, W) of the photograph after EXIF orientation."""
    box: Box
    """What the network saw: (left, top, right, bottom) in original pixels."""
    regions: tuple[Box, ...] = ()
    """Ground-truth boxes of the target's class, in original pixels, without difficult ones where there are others."""
    image: "Tensor | None" = None
    """(C, H, W), normalised, on the network's device; for metrics that need the network."""
    probabilities: "Callable[[Tensor], Tensor] | None" = None
    """Images (N, C, H, W) to probabilities (N, K)."""

    @cached_property
    def batch(self) -> "tuple[Callable[[Tensor], Tensor], Tensor, Tensor, Tensor]":
        """(probabilities, images, masks, targets) of one image: the arguments of metrics that need the network."""
        import torch

        assert self.image is not None
        assert self.probabilities is not None
        masks = torch.from_numpy(self.mask)[None, None].to(self.image)
        return (
            self.probabilities,
            self.image[None],
            masks,
            torch.tensor([self.target], device=self.image.device),
        )

    @property
    def geometry(self) -> tuple[list[tuple[int, int]], list[Box], list[tuple[Box, ...]]]:
        """(original sizes, boxes, regions), each of one image: the arguments of metrics that need boxes."""
        return [self.original_size], [self.box], [self.regions]


def measure(metric: str, sample: Sample) -> Mapping[str, float]:
    """The columns of one metric of the catalogue: `measure` of the file that has its name."""
    values: Mapping[str, float] = import_module(f"gfi.metrics.{metric}").measure(sample)
    return values

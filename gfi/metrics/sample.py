"""One explained image, in the form that every metric of the catalogue accepts, and `measure` by a metric's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle

if TYPE_CHECKING:
    from torch import Tensor

    from gfi.metrics.photograph_fill import Bank


@dataclass(frozen=True)
class Sample:
    """A mask and the data that metrics need in addition to it. Only metrics that need the network load torch."""

    mask: NDArray[np.float32]
    """(H, W) in [0, 1], at the input size."""
    target: int
    original_size: tuple[int, int]
    """(H, W) of the photograph after EXIF orientation."""
    box: Rectangle
    """What the network saw: (left, top, right, bottom) in original pixels."""
    regions: tuple[Rectangle, ...] = ()
    """Ground-truth boxes of the target's class, in original pixels; difficult ones only where all are difficult."""
    image: "Tensor | None" = None
    """(C, H, W), normalised, on the network's device; for metrics that need the network."""
    probabilities: "Callable[[Tensor], Tensor] | None" = None
    """Images (N, C, H, W) to probabilities (N, K)."""
    bank: "Bank | None" = None
    """The photographs that replace removed pixels in `photograph_fill`."""
    cell: int | None = None
    """The target's cell where the image is a 2×2 grid of images, in raster order; for `grid_pointing`."""
    region: NDArray[np.bool_] | None = None
    """The pixels (H, W) of the target's objects on the photograph, where some have an outline and not only a box."""

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
    def geometry(self) -> tuple[list[tuple[int, int]], list[Rectangle], list[tuple[Rectangle, ...]]]:
        """(original sizes, boxes, regions), each of one image: the arguments of metrics that need boxes."""
        return [self.original_size], [self.box], [self.regions]


def measure(metric: str, sample: Sample) -> Mapping[str, float]:
    """The columns of one metric of the catalogue (`gfi.domain.metrics`), computed by the file of the same name.

    Parameters
    ----------
    metric : str
        A name in the catalogue, such as ``"entropy"``.
    sample : Sample
        The explained image; a metric that needs boxes or the network reads them from it.

    Returns
    -------
    mapping of str to float
        Column names to values; not-a-number where the metric has no meaning for this image.

    Examples
    --------
    >>> sample = Sample(np.ones((2, 2), np.float32), target=0, original_size=(2, 2), box=(0, 0, 2, 2))
    >>> measure("entropy", sample)
    {'entropy': 1.0}
    """
    values: Mapping[str, float] = import_module(f"gfi.metrics.{metric}").measure(sample)
    return values

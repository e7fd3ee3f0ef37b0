"""What screens and plans of an audit read: explained images, their masks, and their photographs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Photographs = Callable[[NDArray[np.intp]], NDArray[np.uint8]]
"""Rows → the network's view of each, (n, H, W, 3) uint8."""


@dataclass(frozen=True)
class Explained:
    """Images and their masks: what screens and plans read of the parts.

    classes (N,): the class each mask explains. grids (N, h, w): the masks. screening (N,): the half. boxes: row → the
    boxes (M, 4) of its class in [0, 1] of the network's view; None where the dataset has none. labels (N,): the class
    each image is labelled as, −1 where it has no label; None where no image has one. features (N, d): projected
    features, NaN where there are none; None where no image has them.
    """

    classes: NDArray[np.int64]
    grids: NDArray[np.float32]
    screening: NDArray[np.bool_]
    boxes: Mapping[int, NDArray[np.float64]] | None = None
    keys: tuple[str, ...] = ()
    labels: NDArray[np.int64] | None = None
    features: NDArray[np.floating] | None = None
    columns: Mapping[str, NDArray[np.floating] | Sequence[str]] | None = None
    """Numbers or words of each image (N,), which clusters are compared with; None where they were not read."""

    def __len__(self) -> int:
        return len(self.classes)

"""What screens and plans of an audit read: explained images, their masks, and their photographs.

A row is what a mask explains: an image and a class. In a job that explains each label of an image, an image has a row
for each of them, so a class counts each of its images once. `image_of` says which rows are of one image, `carrying`
whose images have a class beside the one that the row explains.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Photographs = Callable[[NDArray[np.intp]], NDArray[np.uint8]]
"""Rows → the network's view of the image of each, (n, H, W, 3) uint8."""


@dataclass(frozen=True)
class Explained:
    """Masks, and the images and classes that they explain: what screens and plans read of the parts.

    classes (N,): the class each mask explains. grids (N, h, w): the masks. screening (N,): the half. boxes: row → the
    boxes (M, 4) of its class in [0, 1] of the network's view; None where the dataset has none. labels (N,): the class
    each image is labelled as, −1 where it has no label; None where no image has one. Of several labels it is the class
    explained, if that is one of them. features (N, d): projected features, NaN where there are none; None where no
    image has them. images (N,): a number of each row's image; None where each row is an image of its own. also (M, 2):
    (row, class), the classes among several labels of the row's image; None where no image has several.
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
    images: NDArray[np.int64] | None = None
    also: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.classes)

    def carrying(self, class_index: int) -> NDArray[np.bool_]:
        """Of which rows the image has the class, as what is explained or among its labels (N,)."""
        found: NDArray[np.bool_] = self.classes == class_index
        if self.also is not None:
            found[self.also[self.also[:, 1] == class_index, 0]] = True
        return found

    def image_of(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """The number of the image of each of these rows."""
        return rows.astype(np.int64) if self.images is None else self.images[rows]

    def once(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The first of these rows of each image, in their order."""
        _, first = np.unique(self.image_of(rows), return_index=True)
        return rows[np.sort(first)]

    def of_other_images(self, rows: NDArray[np.intp], than: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those of `rows` whose image is the image of none of `than`."""
        return rows[~np.isin(self.image_of(rows), self.image_of(than))]

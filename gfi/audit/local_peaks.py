"""S1: a place where the masks of one class peak more often than those of other classes.

    peak(i, s):  m_i(s) ≥ its eight neighbours and ≥ 0.3 max m_i
    x_k(s) = share of the images of class k with a peak at s

Class means of masks answer every natural shift of the object; a share of local peaks answers a second thing that is
looked at. Counts are sums over images, so a million masks are read once, in chunks, and counts of several readers add.
"""

import numpy as np
from numpy.typing import NDArray

from gfi.audit.class_null import robust_z
from gfi.audit.grids import resized


def peaks(grids: NDArray[np.floating], share_of_maximum: float = 0.3) -> NDArray[np.bool_]:
    """Whether a cell is a local peak: grids (N, s, s) → (N, s, s)."""
    n, h, w = grids.shape
    padded = np.full((n, h + 2, w + 2), -np.inf, np.float32)
    padded[:, 1:-1, 1:-1] = grids
    inner = padded[:, 1:-1, 1:-1]
    # The largest neighbour in two passes: along the rows, then along the columns.
    along = np.maximum(np.maximum(padded[:, :, :-2], padded[:, :, 2:]), padded[:, :, 1:-1])
    highest = np.maximum(np.maximum(along[:, :-2], along[:, 2:]), along[:, 1:-1])
    top = inner.max((1, 2), keepdims=True) if n else inner[:, :1, :1]
    return (inner >= highest) & (inner >= share_of_maximum * top) & (top > 0)


class PeakCounts:
    """Peaks of every class at every cell, summed over images.

    counts (K, s, s) and images (K,) are int64. `add` takes a chunk; `merge` adds another reader's counts.
    """

    def __init__(self, classes: int, cells: int, share_of_maximum: float = 0.3) -> None:
        self.cells = cells
        self.share_of_maximum = share_of_maximum
        self.counts = np.zeros((classes, cells, cells), np.int64)
        self.images = np.zeros(classes, np.int64)

    def add(self, grids: NDArray[np.floating], classes: NDArray[np.integer]) -> None:
        """Count a chunk: grids (N, h, w) of images of `classes` (N,)."""
        found = peaks(resized(grids, self.cells), self.share_of_maximum)
        image, cell = np.nonzero(found.reshape(len(found), -1))
        size = self.cells**2
        flat = np.bincount(classes[image] * size + cell, minlength=self.counts.size)
        self.counts += flat.reshape(self.counts.shape)
        self.images += np.bincount(classes, minlength=len(self.images))

    def merge(self, other: "PeakCounts") -> None:
        """Add the counts of another reader of the same classes and cells."""
        self.counts += other.counts
        self.images += other.images

    def shares(self) -> NDArray[np.float64]:
        """x (K, s, s): the share of the class's images with a peak there."""
        return self.counts / np.maximum(self.images, 1)[:, None, None]

    def z(self, fewest_classes: int = 8, fewest_images: int = 20) -> NDArray[np.float64] | None:
        """x against the other classes (K, s, s); None where there are too few classes to say."""
        x, n = self.shares(), np.maximum(self.images, 1)[:, None, None]
        usual = (
            np.median(x[self.images >= fewest_images], axis=0)
            if (self.images >= fewest_images).any()
            else x[0]
        )
        usual = (usual * n + 0.5) / (n + 1)  # never an error of zero where no other class has a peak
        return robust_z(x, np.sqrt(usual * (1 - usual) / n), self.images, fewest_classes, fewest_images)

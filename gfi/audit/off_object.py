"""S2: mask mass outside the boxes, compared with what would lie there anyway.

    e_i = Σ m_i w_i / Σ m_i        energy in the boxes of image i, w_i the share of each cell that they cover
    a_i = mean w_i                 that of an even mask (any mask of equal area that ignores the image)
    b_i = Σ m̄ w_i / Σ m̄            that of the class-blind mean mask m̄

A class is off the object when mean(e − max(a, b)) lies below the other classes', in their robust spread. All are sums
over images and are read once, in chunks.
"""

import numpy as np
from numpy.typing import NDArray

from gfi.audit.class_null import robust_z
from gfi.audit.grids import cell_overlaps, resized


class OffObject:
    """Energy in the box of each class, and where the mass outside lies. `add` takes a chunk."""

    def __init__(self, classes: int, cells: int = 14) -> None:
        self.cells = cells
        self.images = np.zeros(classes, np.int64)
        self._energy = np.zeros(classes)
        self._energy_squared = np.zeros(classes)
        self._covered = np.zeros((classes, cells, cells))
        self._outside = np.zeros((classes, cells, cells))
        self._mean = np.zeros((cells, cells))

    def add(
        self,
        grids: NDArray[np.floating],
        classes: NDArray[np.integer],
        boxes: NDArray[np.floating],
        owners: NDArray[np.integer],
    ) -> None:
        """Count a chunk: grids (N, h, w), classes (N,); boxes (M, 4) in [0, 1], of the chunk's images `owners` (M,).

        Images without a box or with an empty mask are left out.
        """
        m = resized(grids, self.cells)
        total = m.sum((1, 2), dtype=np.float64)
        covered = np.zeros_like(m)
        overlaps = cell_overlaps(boxes, self.cells)
        first = np.unique(owners, return_index=True)[1]
        covered[owners[first]] = overlaps[first]
        more = np.setdiff1d(np.arange(len(owners)), first)
        np.maximum.at(covered, owners[more], overlaps[more])  # boxes that overlap count once, nearly
        has = np.zeros(len(m), bool)
        has[owners] = True
        use = has & (total > 0)
        shares, covered, of = m[use] / total[use, None, None], covered[use], classes[use]
        inside = shares * covered
        energy = inside.sum((1, 2))
        k = len(self.images)
        self.images += np.bincount(of, minlength=k)
        self._energy += np.bincount(of, energy, minlength=k)
        self._energy_squared += np.bincount(of, energy**2, minlength=k)
        self._mean += shares.sum(0)
        if len(of):
            order = np.argsort(of, kind="stable")
            labels, starts = np.unique(of[order], return_index=True)
            self._covered[labels] += np.add.reduceat(covered[order], starts, axis=0)
            self._outside[labels] += np.add.reduceat((shares - inside)[order], starts, axis=0)

    def excess(self) -> NDArray[np.float64]:
        """mean(e) − max(mean a, mean b) (K,): above 0, masks find the object better than by chance."""
        n = np.maximum(self.images, 1)
        blind = self._mean / max(self._mean.sum(), 1e-12)
        even, usual = self._covered.mean((1, 2)) / n, (self._covered * blind).sum((1, 2)) / n
        return self._energy / n - np.maximum(even, usual)

    def z(self, fewest_classes: int = 8, fewest_images: int = 20) -> NDArray[np.float64] | None:
        """How far off the object each class lies (K,): −excess against the other classes."""
        n = np.maximum(self.images, 1)
        variance = np.maximum(self._energy_squared / n - (self._energy / n) ** 2, 1e-6)
        return robust_z(-self.excess(), np.sqrt(variance / n), self.images, fewest_classes, fewest_images)

    def outside(self) -> NDArray[np.float64]:
        """The mean share of mask mass outside the boxes at each cell (K, s, s)."""
        return self._outside / np.maximum(self.images, 1)[:, None, None]

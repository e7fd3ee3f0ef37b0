"""Mean masks of a job and of its classes, from sums that add exactly.

    masks.add(result);  masks += other;  masks -= replaced

A mask counts as 14×14 whole numbers from 0 to 255, as in a picture of 8 bits: its grid is rounded, and then brought to
14×14 cells in whole numbers, averaged over the area of each cell or, from fewer cells, interpolated as masks are drawn.
Sums of whole numbers are the same in any order and on any machine. Counted are the images that the means of numbers
count: status `ok`, and of several classes of an image the first. The class of an image is its label, otherwise its
target.

The squares of the cells are summed in the same way, for the spread of the masks. Sums of earlier versions have no
squares: where the two counts differ, the spread is not known.

The cells lie on the network's input: what it saw of a photograph, not the whole photograph. Loads numpy.
"""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import matrix
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus

CELLS = 14
MOST_CLASSES = 5000
"""Of a method. With more, of which each has few images, only the mean of all images is kept: 2 MB are enough."""
_STEPS = 255
_TYPES = ("<u1", "<u2", "<i4", "<i8")
_SQUARES = "²"
"""Added to the name of a method: the key of the sums of squares."""
Key = tuple[str, str | None]
"""The method, and the class; None: all images together, where there are too many classes."""


@dataclass(frozen=True, eq=False)
class MeanMask:
    """The mean of the masks of `images` images, (14, 14) in [0, 1]. class_name: None for all images of the job.

    spread: the standard deviation of each cell over these images, (14, 14) in [0, ½]; None where it is not known.
    """

    class_name: str | None
    images: int
    mask: NDArray[np.float64]
    spread: NDArray[np.float64] | None = None


class MeanMasks:
    """Sums of masks by method and class."""

    def __init__(self) -> None:
        self._sums: dict[Key, tuple[int, NDArray[np.int64]]] = {}

    @classmethod
    def of(cls, rows: Iterable[Result], every_label: bool = False) -> "MeanMasks":
        """The sums of results. Of several classes of an image the first counts, of several labels each."""
        masks = cls()
        for row in rows:
            if every_label or row.target_rank == 0:
                masks.add(row)
        return masks

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MeanMasks) or set(self._sums) != set(other._sums):
            return False
        pairs = ((one, other._sums[key]) for key, one in self._sums.items())
        return all(a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self._sums)

    def __iadd__(self, other: "MeanMasks") -> "MeanMasks":
        return self._merge(other, 1)

    def __isub__(self, other: "MeanMasks") -> "MeanMasks":
        return self._merge(other, -1)

    def add(self, row: Result) -> None:
        """Count one result, if it counts in means; which of several classes of an image do, the caller decides."""
        if counts(row):
            assert row.grid is not None
            group = str(row.target) if row.label is None else row.label
            cells = in_cells(row.grid)
            self._add((row.method, group), 1, cells)
            self._add((row.method + _SQUARES, group), 1, cells * cells)

    def classes(self, method: str = PRIMARY_METHOD) -> list[MeanMask]:
        """The mean mask of each class, the most images first; none where there are too many classes."""
        found = [
            _mean_mask(group, images, total, self._sums.get((method + _SQUARES, group)))
            for (of, group), (images, total) in self._sums.items()
            if of == method and group is not None and images > 0
        ]
        return sorted(found, key=lambda one: (-one.images, one.class_name))

    def job(self, method: str = PRIMARY_METHOD) -> MeanMask | None:
        """The mean mask of all images; None if no image counts."""
        images, total = self._whole(method)
        return _mean_mask(None, images, total, self._whole(method + _SQUARES)) if images > 0 else None

    def _whole(self, method: str) -> tuple[int, NDArray[np.int64]]:
        mine = [one for (of, _), one in self._sums.items() if of == method]
        nothing = np.zeros((CELLS, CELLS), np.int64)
        return sum(count for count, _ in mine), np.sum([nothing, *(total for _, total in mine)], axis=0)

    def packed(self) -> bytes:
        """The sums as they are stored."""
        names, data = [], []
        for (method, group), (images, total) in self._sums.items():
            kind = next(t for t in _TYPES if _fits(total, np.dtype(t)))
            names.append([method, group, images, kind])
            data.append(total.astype(kind).tobytes())
        head = json.dumps(names, separators=(",", ":")).encode()
        return zlib.compress(b"".join((len(head).to_bytes(4, "little"), head, *data)), 6)

    @classmethod
    def unpacked(cls, data: bytes | None) -> "MeanMasks":
        """What `packed` returned; None: nothing was counted."""
        masks = cls()
        if data is None:
            return masks
        raw = zlib.decompress(data)
        at = 4 + int.from_bytes(raw[:4], "little")
        for method, group, images, kind in json.loads(raw[4:at]):
            size = np.dtype(kind).itemsize * CELLS * CELLS
            total = np.frombuffer(raw[at : at + size], kind).astype(np.int64).reshape(CELLS, CELLS)
            masks._sums[method, group] = (images, total)
            at += size
        return masks

    def _merge(self, other: "MeanMasks", sign: int) -> "MeanMasks":
        for key, (images, total) in other._sums.items():
            self._add(key, sign * images, sign * total)
        for method in {method for method, _ in self._sums}:
            self._fold(method)
        return self

    def _add(self, key: Key, images: int, total: NDArray[np.int64]) -> None:
        before = self._sums.get(key)
        count, summed = (images, total) if before is None else (before[0] + images, before[1] + total)
        if count or summed.any():
            self._sums[key] = (count, summed)
        else:
            self._sums.pop(key, None)

    def _fold(self, method: str) -> None:
        """Keep only the sum of all classes, if there are too many or if that was so before."""
        mine = [key for key in self._sums if key[0] == method]
        if len(mine) > MOST_CLASSES or ((method, None) in self._sums and len(mine) > 1):
            folded = [self._sums.pop(key) for key in mine]
            for images, total in folded:
                self._add((method, None), images, total)


def _mean_mask(
    group: str | None, images: int, total: NDArray[np.int64], squares: tuple[int, NDArray[np.int64]] | None
) -> MeanMask:
    mean = total / (images * _STEPS)
    if squares is None or squares[0] != images:
        return MeanMask(group, images, mean)
    variance = squares[1] / (images * _STEPS**2) - mean**2
    return MeanMask(group, images, mean, np.sqrt(np.maximum(variance, 0)))


def counts(row: Result) -> bool:
    """Whether a result counts in mean masks."""
    return row.status is ImageStatus.OK and row.grid is not None


def in_cells(grid: NDArray[np.floating]) -> NDArray[np.int64]:
    """A grid (h, w) in [0, 1] as 14×14 whole numbers, 0 … 255.

    >>> in_cells(np.eye(2))[[0, 0, 13], [0, 13, 13]]
    array([255,   0, 255])
    """
    steps = np.rint(np.clip(grid.astype(np.float64), 0, 1) * _STEPS).astype(np.int64)
    (down, high), (across, wide) = (_weights(side) for side in grid.shape)
    whole = high * wide
    # Rounded to the nearest, halves up.
    return (2 * (down @ steps @ across.T) + whole) // (2 * whole)


@lru_cache(maxsize=64)
def _weights(size: int) -> tuple[NDArray[np.int64], int]:
    """(14, size): the weights of old cells in each new one, as whole numbers, and what each row sums to."""
    if size < CELLS:
        # A new centre lies on a multiple of 1/28 of an old cell.
        return np.rint(matrix(size, CELLS, False) * 2 * CELLS).astype(np.int64), 2 * CELLS
    new, old = (
        np.arange(CELLS + 1) * size,
        np.arange(size + 1) * CELLS,
    )  # edges in units of 1/14 of an old cell
    overlap = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])
    return np.maximum(overlap, 0), size


def _fits(total: NDArray[np.int64], kind: np.dtype) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= total.min() and total.max() <= limits.max)

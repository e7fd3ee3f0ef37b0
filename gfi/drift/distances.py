"""Distances between two masks of one image.

Both masks are averaged on a common grid of 28 × 28 cells over the part of the photograph that the two networks saw: a
cell has the mean of the drawn mask over its area. With T(m) = the highest 15 % of that area,

    top_area   1 − |T(a) ∩ T(b)| / |T(a) ∪ T(b)|          the primary distance: 0 the same place, 1 no cell in common

Cells with equal values at the border of T share its remaining area, so that T has exactly 15 % and no cell is preferred
because of its position. With weights w in [0, 1] the IoU is Σ min(w_a, w_b) / Σ max(w_a, w_b).

Further, descriptive distances:

    spearman        rank correlation of the cells, 1 where the order is the same; not-a-number for a constant mask
    jensen_shannon  square root of the Jensen–Shannon divergence (base 2) of a/Σa and b/Σb, in [0, 1]
    shift_x, _y     by how much the centre of mass moved, in widths and heights of the frame; to the right and down

Everything is batched over images. A comparison of a mask with itself gives exactly 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle, matrix

CELLS = 28
TOP_SHARE = 0.15
PRIMARY = "1 − IoU of the highest 15 % of area on a 28 × 28 grid"

Cells = NDArray[np.float32]
"""(N, 28, 28): masks on the common grid."""


@dataclass(frozen=True)
class Drawing:
    """How the grids of a part become masks. grid, input_size: (h, w) and (H, W)."""

    grid: tuple[int, int]
    input_size: tuple[int, int]
    align_corners: bool


def to_cells(
    grids: NDArray[np.float32], drawing: Drawing, box: Rectangle | None = None, frame: Rectangle | None = None
) -> Cells:
    """Stored grids (N, h, w) on the common grid: (N, 28, 28) float32.

    box: what the network saw, (left, top, right, bottom) in original pixels; frame: what the common grid covers. None
    for both where they are equal. A part of the frame that the network did not see counts as 0.
    """
    spans: list[tuple[float, float, float, float]] = [(0.0, 1.0, 0.0, 1.0)] * 2
    if box is not None and frame is not None and box != frame:
        spans = [(box[1], box[3], frame[1], frame[3]), (box[0], box[2], frame[0], frame[2])]
    down, across = (
        _axis(size_in, size, drawing.align_corners, *span)
        for size_in, size, span in zip(drawing.grid, drawing.input_size, spans, strict=True)
    )
    return np.matmul(np.matmul(down, grids), across.T)


@lru_cache(maxsize=256)
def _axis(
    size_in: int, size: int, align_corners: bool, low: float, high: float, start: float, stop: float
) -> NDArray[np.float32]:
    """(28, size_in): each row averages the drawn mask over one cell of [start, stop); the mask covers [low, high)."""
    edges = np.linspace(start, stop, CELLS + 1)
    pixels = np.linspace(low, high, size + 1)
    overlap = np.minimum(edges[1:, None], pixels[None, 1:]) - np.maximum(edges[:-1, None], pixels[None, :-1])
    shares = np.maximum(overlap, 0) / ((stop - start) / CELLS)
    return np.asarray(shares @ matrix(size_in, size, align_corners), np.float32)


def top_weights(cells: Cells) -> Cells:
    """The weight of each cell in the highest 15 % of area: 1 above the border, 0 below, a share where cells tie."""
    flat = cells.reshape(len(cells), -1)
    wanted = TOP_SHARE * flat.shape[1]
    rank = flat.shape[1] - int(np.ceil(wanted))
    border = np.partition(flat, rank, axis=1)[:, rank, None]
    tied = flat == border
    weights = (flat > border).astype(np.float32)
    left = (wanted - np.count_nonzero(weights, axis=1)) / np.count_nonzero(tied, axis=1)
    np.copyto(weights, left[:, None].astype(np.float32), where=tied)
    return weights.reshape(cells.shape)


def top_area(top_a: Cells, top_b: Cells) -> NDArray[np.float64]:
    """1 − Σ min / Σ max of two sets of weights: (N,), in [0, 1]."""
    a, b = (top.reshape(len(top), -1) for top in (top_a, top_b))
    shared, either = (np.einsum("ij->i", part(a, b)).astype(np.float64) for part in (np.minimum, np.maximum))
    return np.asarray(1.0 - shared / either)


def spearman(a: Cells, b: Cells) -> NDArray[np.float64]:
    """Rank correlation of the cells of each pair: (N,), in [−1, 1]; ties get their mean rank."""
    from scipy.stats import rankdata

    ranks = [rankdata(cells.reshape(len(cells), -1), axis=1) for cells in (a, b)]
    x, y = (r - r.mean(1, keepdims=True) for r in ranks)
    scale = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(scale > 0, (x * y).sum(1) / scale, np.nan))


def jensen_shannon(a: Cells, b: Cells) -> NDArray[np.float64]:
    """Square root of the Jensen–Shannon divergence of the masses, base 2: (N,), in [0, 1]; NaN for a mask of zeros."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = (
            cells.reshape(len(cells), -1).astype(np.float64) / cells.sum((1, 2), dtype=np.float64)[:, None]
            for cells in (a, b)
        )
        middle = (p + q) / 2
        both = [np.where(x > 0, x * np.log2(x / middle), 0.0).sum(1) for x in (p, q)]
    divergence = (both[0] + both[1]) / 2
    known = np.isfinite(p).all(1) & np.isfinite(q).all(1)
    return np.asarray(np.where(known, np.sqrt(np.clip(divergence, 0, 1)), np.nan))


def centres(cells: Cells) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(x, y) of the centre of mass of each mask, in widths and heights of the frame: (N,) each; NaN without mass."""
    at = (np.arange(CELLS) + 0.5) / CELLS
    weights = np.stack([np.tile(at, CELLS), np.repeat(at, CELLS), np.ones(CELLS * CELLS)], axis=1)
    x, y, mass = (cells.reshape(len(cells), -1) @ weights.astype(np.float32)).T.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return x / mass, y / mass


def frames(box_a: NDArray[np.float64], box_b: NDArray[np.float64]) -> Iterator[tuple[Rectangle, ...]]:
    """(box of a, box of b, the smallest rectangle around both) of each pair. Boxes: (N, 4) in original pixels."""
    low, high = np.minimum(box_a, box_b)[:, :2], np.maximum(box_a, box_b)[:, 2:]
    for a, b, (left, top), (right, bottom) in zip(box_a, box_b, low, high, strict=True):
        yield _rectangle(a), _rectangle(b), (float(left), float(top), float(right), float(bottom))


def _rectangle(values: NDArray[np.float64]) -> Rectangle:
    left, top, right, bottom = map(float, values)
    return left, top, right, bottom

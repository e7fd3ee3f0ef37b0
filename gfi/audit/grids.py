"""Masks brought to a common number of cells.

A grid that shrinks is averaged over the area of each new cell; one that grows is interpolated as masks are drawn. Both
are separable and linear: U_h · m · U_wᵀ.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import matrix


@lru_cache(maxsize=64)
def area_matrix(size_in: int, size_out: int) -> NDArray[np.float32]:
    """(size_out, size_in): the share of each old cell in each new one; rows sum to 1."""
    if size_in <= size_out:
        return matrix(size_in, size_out, False).astype(np.float32)
    new = np.arange(size_out + 1) * size_in / size_out
    old = np.arange(size_in + 1)
    overlap = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])
    weights = np.maximum(overlap, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def resized(grids: NDArray[np.floating], cells: int) -> NDArray[np.float32]:
    """Grids (N, h, w) as (N, cells, cells).

    Raises ValueError for another number of dimensions.
    """
    if grids.ndim != 3:
        raise ValueError(f"grids are (N, h, w); these have shape {grids.shape}")
    n, h, w = grids.shape
    m = grids.astype(np.float32, copy=False)
    if (h, w) == (cells, cells) or not n:
        return m if n else np.zeros((0, cells, cells), np.float32)
    # Two products of large matrices; a product for each small grid takes four times as long.
    across = (m.reshape(n * h, w) @ area_matrix(w, cells).T).reshape(n, h, cells)
    down = across.transpose(0, 2, 1).reshape(n * cells, h) @ area_matrix(h, cells).T
    return np.ascontiguousarray(down.reshape(n, cells, cells).transpose(0, 2, 1))


def centred(grids: NDArray[np.floating]) -> NDArray[np.float64]:
    """Grids (N, s, s) scaled to mass 1, less their mean over the images; an empty grid counts as even."""
    mass = grids.sum((1, 2), keepdims=True, dtype=np.float64)
    even = 1 / (grids.shape[1] * grids.shape[2])
    shares = np.where(mass > 0, grids / np.where(mass > 0, mass, 1), even)
    return shares - shares.mean(0)


def cell_overlaps(boxes: NDArray[np.floating], cells: int) -> NDArray[np.float32]:
    """The share of each cell that a box covers: boxes (N, 4) left, top, right, bottom in [0, 1] → (N, cells, cells)."""
    edges = np.arange(cells + 1) / cells
    across = np.minimum(boxes[:, 2, None], edges[1:]) - np.maximum(boxes[:, 0, None], edges[:-1])
    down = np.minimum(boxes[:, 3, None], edges[1:]) - np.maximum(boxes[:, 1, None], edges[:-1])
    across, down = np.clip(across, 0, None) * cells, np.clip(down, 0, None) * cells
    return (down[:, :, None] * across[:, None, :]).astype(np.float32)

"""Bilinear interpolation as a matrix product: M = U_h · m · U_wᵀ. Loads no torch.

Bilinear resizing of a grid is linear and separable, so one matrix an axis is all of it. The
optimiser multiplies by these matrices and so does whoever draws a stored grid later: both see the same
mask. On CUDA this has another merit: the backward pass of torch's own interpolation is not
deterministic there, that of a matrix product is.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=64)
def matrix(size_in: int, size_out: int, align_corners: bool) -> NDArray[np.float64]:
    """U of shape (size_out, size_in): row o holds the weights of the inputs that output o mixes.

    Equals `torch.nn.functional.interpolate(mode="bilinear")` on one axis. Rows sum to 1, so scaling a
    grid and then drawing it is drawing it and then scaling. The array is shared: it is read-only.
    """
    if size_in < 1 or size_out < 1:
        raise ValueError(f"sizes are positive, not {size_in} and {size_out}")
    out = np.arange(size_out, dtype=np.float64)
    if align_corners:
        position = out * (size_in - 1) / (size_out - 1) if size_out > 1 else np.zeros(1)
    else:
        position = np.maximum((out + 0.5) * size_in / size_out - 0.5, 0.0)
    low = np.minimum(position.astype(np.int64), size_in - 1)
    high = np.minimum(low + 1, size_in - 1)
    fraction = position - low
    weights = np.zeros((size_out, size_in))
    rows = np.arange(size_out)
    np.add.at(weights, (rows, low), 1.0 - fraction)
    np.add.at(weights, (rows, high), fraction)
    weights.setflags(write=False)
    return weights


def draw(grid: NDArray[np.floating], size: tuple[int, int], align_corners: bool) -> NDArray[np.float32]:
    """The mask of `size` (H, W) from a stored, already scaled grid (h, w): U_h · m · U_wᵀ, float32.

    Computed in float64 and rounded once: what the optimiser saw, to 1e-6.
    """
    (h, w), (height, width) = grid.shape, size
    rows, columns = matrix(h, height, align_corners), matrix(w, width, align_corners)
    return (rows @ grid.astype(np.float64) @ columns.T).astype(np.float32)

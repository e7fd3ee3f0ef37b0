"""Bilinear interpolation as a matrix product: M = U_h · m · U_wᵀ. Loads no torch.

Bilinear resizing of a grid is linear and separable, so one matrix per axis describes it completely. The optimiser
multiplies by these matrices, and so does `draw` when a stored grid is shown later: both see the same mask. On CUDA
there is a second reason: the backward pass of torch's own interpolation is not deterministic there, that of a matrix
product is.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=64)
def matrix(size_in: int, size_out: int, align_corners: bool) -> NDArray[np.float64]:
    """U of shape (size_out, size_in): row o holds the weights of all inputs in output o.

    Equals `torch.nn.functional.interpolate(mode="bilinear")` along one axis. Rows sum to 1, so scaling a grid and then
    drawing it gives the same as drawing it and then scaling. The array is cached, and therefore read-only.

    >>> matrix(2, 4, align_corners=False)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
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
    """The mask at the size of the input: U_h · m · U_wᵀ.

    Parameters
    ----------
    grid
        (h, w), already scaled to [0, 1]: `Explanation.grid`.
    size
        (H, W) of the input in pixels.
    align_corners
        As in the recipe that made the grid.

    Returns
    -------
    ndarray
        (H, W) float32. Computed in float64 and rounded once, it equals the optimiser's mask to 1e-6.

    Examples
    --------
    >>> draw(np.array([[0.0, 1.0]]), (1, 4), align_corners=False)
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    (h, w), (height, width) = grid.shape, size
    rows, columns = matrix(h, height, align_corners), matrix(w, width, align_corners)
    return (rows @ grid.astype(np.float64) @ columns.T).astype(np.float32)

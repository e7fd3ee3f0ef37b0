"""The classes as the null: how far one class lies above the others, in their own robust spread.

    z_k = (x_k − median_k x) / max(1.4826 · MAD_k x, s_k)

s_k is the standard error of x_k. Classes differ by nature, above all in where their objects stand. A permutation of
labels takes every such difference for a finding; the spread of the classes takes it for what is usual. With fewer than
eight classes of twenty images there is no such spread, and the answer is undecided.
"""

import math

import numpy as np
from numpy.typing import NDArray


def robust_z(
    values: NDArray[np.floating],
    errors: NDArray[np.floating],
    images: NDArray[np.integer],
    fewest_classes: int = 8,
    fewest_images: int = 20,
) -> NDArray[np.float64] | None:
    """How far each class lies above the classes' median.

    Parameters
    ----------
    values
        (K, …) one statistic or many of each class.
    errors
        Their standard errors, broadcast to `values`.
    images
        (K,) images behind them.

    Returns
    -------
    ndarray or None
        z of the shape of `values`, −inf for classes with too few images. None: too few classes to say.
    """
    enough = images >= fewest_images
    if int(enough.sum()) < fewest_classes:
        return None
    known = values[enough]
    centre = np.median(known, axis=0)
    spread = 1.4826 * np.median(np.abs(known - centre), axis=0)
    scale = np.maximum(np.maximum(spread, errors), 1e-12)
    z = (values - centre) / scale
    z[~enough] = -np.inf
    return z


def upper_tail(z: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 − Φ(z), of the shape of z. Of a screen: it ranks candidates and confirms nothing."""
    flat = [0.5 * math.erfc(v / math.sqrt(2)) for v in np.asarray(z, float).ravel()]
    return np.array(flat).reshape(np.shape(z))

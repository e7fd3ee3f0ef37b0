"""Area and entropy of a mask: how much it marks, and how evenly. Neither network nor boxes are needed.

    area = mean(m);    entropy = −Σ q·log q / log(H·W)  with q = m/Σm

Entropy is 1 for an even mask and 0 for a single pixel. Near-empty and near-full masks are flagged because other
metrics reward them: a full mask has no average drop, and an empty one removes nothing.

numpy only: no torch.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEAR_EMPTY = 0.01
NEAR_FULL = 0.90


class Area(NamedTuple):
    """The area, entropy and flags of N masks.

    Attributes
    ----------
    area, entropy : ndarray
        (N,) float64 in [0, 1]. Not-a-number for a mask that is not finite; the entropy of an all-zero mask is 0.
    near_empty, near_full : ndarray
        (N,) bool: area below 0.01, area above 0.90. False for a mask that is not finite.
    """

    area: NDArray[np.float64]
    entropy: NDArray[np.float64]
    near_empty: NDArray[np.bool_]
    near_full: NDArray[np.bool_]


def area(masks: NDArray[np.floating]) -> Area:
    """Area and entropy of masks.

    Parameters
    ----------
    masks : ndarray
        (N, 1, H, W) or (N, H, W) in [0, 1], at the input size.

    Returns
    -------
    Area

    Examples
    --------
    >>> even, point = np.full((2, 2), 0.5), np.array([[1.0, 0.0], [0.0, 0.0]])
    >>> scores = area(np.stack([even, point]))
    >>> scores.area.tolist(), scores.entropy.tolist()
    ([0.5, 0.25], [1.0, 0.0])
    """
    flat = masks.reshape(len(masks), math.prod(masks.shape[1:])).astype(np.float64)
    finite = np.asarray(np.isfinite(flat).all(1))
    flat = np.where(finite[:, None], flat, 0)
    share, mass = flat.mean(1), flat.sum(1, keepdims=True)
    q = np.divide(flat, mass, out=np.zeros_like(flat), where=mass != 0)
    logs = np.log(q, out=np.zeros_like(q), where=q > 0)
    entropy = -(q * logs).sum(1) / np.log(max(flat.shape[1], 2))
    share[~finite] = entropy[~finite] = np.nan
    return Area(share, np.maximum(entropy, 0), share < NEAR_EMPTY, share > NEAR_FULL)

"""Benjamini–Hochberg: which of many tests stand when a share `level` of them may be false.

References
----------
Benjamini, Hochberg, "Controlling the false discovery rate", JRSS B 57 (1995).
"""

import numpy as np
from numpy.typing import NDArray


def q_values(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """The smallest level at which each test would stand: q_(i) = min over j ≥ i of p_(j) · n / j. p: (n,) in [0, 1].

    >>> q_values(np.array([0.01, 0.5, 0.02]))
    array([0.03, 0.5 , 0.03])
    """
    n = len(p)
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, float)[order] * n / np.arange(1, n + 1)
    q = np.empty(n)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q

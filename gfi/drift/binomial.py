"""Exact tests and bounds of a share: k of n masks moved.

All of them hold as well for the mean of n numbers in [0, 1], with k their sum: numbers between 0 and 1 vary less than
zeros and ones of the same mean (`tests/unit/drift/test_binomial.py` counts the errors of such distributions).

    p-value      P(X ≥ k), X ~ Binomial(n, p₀)              one-sided, exact
    lower bound  the p with P(X ≥ k | p) = α                 Clopper–Pearson, one-sided
    upper bound  the p with P(X ≤ k | p) = α
    BH           the largest r with p₍ᵣ₎ ≤ r·q / m; the r smallest p-values are rejected

Tails of the binomial are regularised incomplete beta functions: P(X ≥ k) = I_p(k, n−k+1).

References
----------
Clopper and Pearson, Biometrika 1934. Benjamini and Hochberg, JRSS B 1995. Benjamini and Yekutieli, "False discovery
rate–adjusted multiple confidence intervals for selected parameters", JASA 2005.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

MOST_IMAGES = 10_000_000
"""If more images than this are needed, `decides` returns None."""


def p_value(moved: ArrayLike, n: ArrayLike, p0: ArrayLike) -> NDArray[np.float64]:
    """P(X ≥ moved) for X ~ Binomial(n, p0); 1 where nothing moved. All arguments broadcast.

    >>> float(p_value(3, 3, 0.5))
    0.125
    """
    k, n, p0 = (np.asarray(value, np.float64) for value in (moved, n, p0))
    tail = betainc(np.where(k > 0, k, 1), n - k + 1, p0)
    return np.asarray(np.where(k > 0, tail, 1.0))


def lower_bound(moved: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> NDArray[np.float64]:
    """The one-sided lower 1 − alpha bound of the share; 0 where nothing moved. `moved` may be a fraction."""
    k, n, alpha = (np.asarray(value, np.float64) for value in (moved, n, alpha))
    return np.asarray(np.where(k > 0, betaincinv(np.where(k > 0, k, 1), n - k + 1, alpha), 0.0))


def upper_bound(moved: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> NDArray[np.float64]:
    """The one-sided upper 1 − alpha bound of the share; 1 where everything moved. `moved` may be a fraction.

    >>> round(float(upper_bound(0, 30, 0.05)), 4)
    0.095
    """
    k, n, alpha = (np.asarray(value, np.float64) for value in (moved, n, alpha))
    return np.asarray(np.where(k < n, betaincinv(k + 1, np.where(k < n, n - k, 1), 1 - alpha), 1.0))


def benjamini_hochberg(p_values: NDArray[np.float64], q: float) -> NDArray[np.bool_]:
    """Which of the m hypotheses are rejected at false discovery rate q: (m,) bool."""
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    below = np.flatnonzero(p_values[order] <= q * np.arange(1, m + 1) / m) if m else np.empty(0, np.intp)
    rejected = np.zeros(m, np.bool_)
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return rejected


def images_to_decide(share: float, limit: float, alpha: float, at_least: int) -> int | None:
    """The number of images at which the verdict would be decided if the share did not change: its upper bound falls
    below the limit, or its lower bound reaches it.

    share, limit: in [0, 1]. at_least: the fewest images that may pass. None if no number of images is enough, because
    the share equals the limit or the limit cannot be exceeded.
    """

    def decided(n: int) -> bool:
        if share < limit:
            return bool(upper_bound(share * n, n, alpha) < limit)
        return bool(lower_bound(share * n, n, alpha) >= limit)

    if not decided(MOST_IMAGES):
        return None
    low, high = 0, MOST_IMAGES  # decided(high), not decided(low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return max(high, at_least) if share < limit else high


def share_change_bounds(fell: float, rose: float, n: int, alpha: float) -> tuple[float, float]:
    """One-sided 1 − alpha bounds of the change of a mean, each alone: n numbers in [0, 1] fell by `fell` in all, and
    rose by `rose`; of a share, so many went from 1 to 0 and from 0 to 1. Each of the two has exact bounds at
    alpha / 2."""
    (fell_low, rose_low), (fell_high, rose_high) = (
        bound([fell, rose], n, alpha / 2).tolist() for bound in (lower_bound, upper_bound)
    )
    return rose_low - fell_high, rose_high - fell_low


def mean_bounds(mean: float, deviation: float, n: int, alpha: float) -> tuple[float, float]:
    """One-sided 1 − alpha bounds of the mean of n differences, each alone, by Student's t.

    deviation: the sample's standard deviation. Infinite for fewer than two images; equal to the mean if the deviation
    is 0.
    """
    from scipy.special import stdtrit

    if n < 2:
        return -math.inf, math.inf
    half = float(stdtrit(n - 1, 1 - alpha)) * deviation / math.sqrt(n)
    return mean - half, mean + half

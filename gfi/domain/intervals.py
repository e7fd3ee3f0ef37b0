"""Intervals of means over images, by the bootstrap. numpy only.

The images are drawn again with replacement; the interval holds the middle 95 % of the means of the draws. It says how
much a mean would vary with other images of the same kind, not how far the masks are from the truth. With more than
`MOST_DRAWN` images the means of the draws are normal to within a few per cent of the interval's width, and
mean ± 1.96·σ/√n is used in place of draws.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95
MOST_DRAWN = 2000
FEWEST = 2
_NORMAL = 1.959964
_AT_ONCE = 1_000_000
"""Numbers drawn at once: 8 MB."""


class Interval(NamedTuple):
    """The bounds of a mean at 95 %."""

    low: float
    high: float


def bootstrap(values: NDArray[np.floating], seed: int = 0) -> Interval | None:
    """The interval of the mean of values (n,) without those that are not finite; None for fewer than two.

    >>> bootstrap(np.array([0.0, 1.0] * 50))
    Interval(low=0.4, high=0.6)
    """
    known = values[np.isfinite(values)].astype(np.float64)
    count = len(known)
    if count < FEWEST:
        return None
    if count > MOST_DRAWN:
        return normal(float(known.mean()), float(known.var()), count)
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // count)
    means = [
        known[rng.integers(0, count, (min(at_once, DRAWS - done), count))].mean(1)
        for done in range(0, DRAWS, at_once)
    ]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return Interval(float(low), float(high))


def normal(mean: float, variance: float, count: int) -> Interval | None:
    """The interval of a mean over many images, from their variance (over n); None for fewer than two.

    >>> normal(0.5, 0.25, 10_000)
    Interval(low=0.49020018, high=0.50979982)
    """
    if count < FEWEST:
        return None
    half = _NORMAL * math.sqrt(max(variance, 0.0) / count)
    return Interval(mean - half, mean + half)

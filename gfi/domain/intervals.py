"""Intervals of means over images, by the bootstrap; of shares, Wilson's. numpy only.

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
_EXACT = 1.959963984540054
_AT_ONCE = 1_000_000
"""Numbers drawn at once: 8 MB."""


class Interval(NamedTuple):
    """The bounds of a mean at 95 %."""

    low: float
    high: float


def bootstrap(values: NDArray[np.floating], seed: int = 0, *, share: bool = True) -> Interval | None:
    """The interval of the mean of values (n,) without those that are not finite; None for fewer than two. If all are 0
    or 1, that of their share, unless `share` is False: of numbers that may lie outside [0, 1].

    >>> bootstrap(np.array([0.2, 0.8] * 50))
    Interval(low=0.44000000000000006, high=0.56)
    """
    known = values[np.isfinite(values)].astype(np.float64)
    count = len(known)
    if count < FEWEST:
        return None
    if share and ((known == 0) | (known == 1)).all():
        return of_share(float(known.mean()), count)
    if count > MOST_DRAWN:
        return normal(float(known.mean()), float(known.var()), count, share=share)
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // count)
    means = [
        known[rng.integers(0, count, (min(at_once, DRAWS - done), count))].mean(1)
        for done in range(0, DRAWS, at_once)
    ]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return Interval(float(low), float(high))


def normal(mean: float, variance: float, count: int, *, share: bool = True) -> Interval | None:
    """The interval of a mean over many images, from their variance (over n); None for fewer than two. If all
    are 0 or 1, that of their share, unless `share` is False.

    >>> normal(0.5, 0.16, 10_000)
    Interval(low=0.492160144, high=0.507839856)
    """
    if count < FEWEST:
        return None
    if share and is_share(mean, variance):
        return of_share(mean, count)
    half = _NORMAL * math.sqrt(max(variance, 0.0) / count)
    return Interval(mean - half, mean + half)


def is_share(mean: float, variance: float) -> bool:
    """Whether numbers of this mean and variance (over n) are all 0 or 1. Of numbers in [0, 1] no others have as large a
    variance; nor have numbers that are all 0, or all 1, for which the interval of a share is as right.

    >>> is_share(0.25, 0.1875), is_share(0.25, 0.18), is_share(0.0, 0.0), is_share(7.0, 0.0)
    (True, False, True, False)
    """
    share = mean * (1 - mean)
    return 0 <= mean <= 1 and math.isclose(variance, share, rel_tol=1e-6, abs_tol=1e-15)


def of_share(share: float, count: int) -> Interval:
    """Wilson's interval of a share of `count` images, at least one.

        (k + z²/2 ± z √(k(n−k)/n + z²/4)) / (n + z²)

    The bootstrap and the normal interval of 20 images without a hit would be 0 to 0.

    >>> [round(bound, 4) for bound in of_share(0.0, 20)]
    [0.0, 0.1611]
    """
    k, squared = share * count, _EXACT**2
    middle = (k + squared / 2) / (count + squared)
    half = _EXACT / (count + squared) * math.sqrt(max(k * (count - k), 0.0) / count + squared / 4)
    # At the ends the bound is that of the share itself, without a rounding.
    return Interval(0.0 if share == 0 else middle - half, 1.0 if share == 1 else middle + half)

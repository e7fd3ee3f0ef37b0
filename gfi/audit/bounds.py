"""One-sided 95 % bounds: of a share (Clopper–Pearson) and of a mean (Student's t).

A bound says how large an effect is; whether there is one is said by the rank test, which is exact. A bound for any
bounded distribution (betting) was tried first: on 24 images an effect of .33 had the lower bound .12, on 17 one of .50
had .17, so that no mark in 30 % of a class could have been confirmed. Student's t needs the mean of 6 to 24 bounded
values to be near normal; its coverage on effects as they are measured is in tests/unit/audit/test_bounds.py.

References
----------
Clopper, Pearson, Biometrika 26 (1934).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """P(X ≥ successes) for X ~ Binomial(trials, share)."""
    if successes <= 0:
        return 1.0
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    k = np.arange(successes, trials + 1)
    log = np.array([math.lgamma(trials + 1) - math.lgamma(i + 1) - math.lgamma(trials - i + 1) for i in k])
    log += k * math.log(share) + (trials - k) * math.log1p(-share)
    return float(min(1.0, np.exp(log).sum()))


def share_lower_bound(successes: int, trials: int, level: float = 0.05) -> float:
    """The lower 1 − level bound of a share; 0 without trials.

    >>> round(share_lower_bound(19, 20), 3)
    0.784
    """
    _check(successes, trials)
    if successes == 0:
        return 0.0
    low, high = 0.0, successes / trials
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_tail(successes, trials, middle) < level else (low, middle)
    return low


def share_upper_bound(successes: int, trials: int, level: float = 0.05) -> float:
    """The upper 1 − level bound of a share; 1 without trials."""
    return 1 - share_lower_bound(trials - successes, trials, level) if trials else 1.0


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")


def mean_lower_bound(values: NDArray[np.floating], level: float = 0.05) -> float:
    """The lower 1 − level bound of the mean of independent values, by Student's t; −inf for fewer than two.

    >>> round(mean_lower_bound(np.array([0.2, 0.4, 0.6])), 3)
    0.063
    """
    n = len(values)
    if n < 2:
        return -math.inf
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    return float(np.mean(values)) - t_quantile(1 - level, n - 1) * error


@lru_cache(maxsize=256)
def t_quantile(share: float, degrees: int) -> float:
    """The quantile of Student's t for share > ½, to 1e-6."""
    log = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)

    def above_middle(t: float) -> float:
        x = np.linspace(0, t, 2001)
        y = np.exp(log - (degrees + 1) / 2 * np.log1p(x**2 / degrees))
        return float((y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum()) * t / 6000)

    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if above_middle(middle) < share - 0.5 else (low, middle)
    return low

"""What the images of an S3 cluster have in common: properties of the photographs, manifest columns, being right.

Within one class, the images of the smaller cluster are compared with the others of the screening half: numbers by ranks
(Mann and Whitney, normal approximation with ties), words and being right by counts (Fisher's exact test, two-sided). q
is over all comparisons of all clusters of an audit, a family of its own. It names what goes with a cluster; it confirms
nothing and changes no verdict.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.audit.properties import VALUE_OF

RIGHT = "right"
"""The column that says whether the prediction is the label, 1 or 0."""
MOST_VALUES = 20
FEWEST = 5
"""Images with a known value, in the cluster and outside it."""


class Association(NamedTuple):
    """A column and the cluster: its mean, or the share with this value, inside and outside; p, and q over all."""

    name: str
    inside: float
    outside: float
    p: float
    q: float = 1.0


def associations(
    smaller: NDArray[np.bool_], columns: Mapping[str, NDArray[np.floating] | Sequence[str]]
) -> list[Association]:
    """Every column compared; smaller (n,): the images of the cluster. A value is a number, NaN where it is not known,
    or a word."""
    out = []
    for name, column in sorted(columns.items()):
        values = np.asarray(column)
        if values.dtype.kind in "fiub":
            known = np.isfinite(values)
            mine, others = values[known & smaller], values[known & ~smaller]
            if min(len(mine), len(others)) < FEWEST:
                continue
            test = _counts_p if name == RIGHT else _ranks_p
            out.append(Association(name, float(mine.mean()), float(others.mean()), test(mine, others)))
            continue
        words, counts = np.unique(values, return_counts=True)
        for word in words[np.argsort(-counts, kind="stable")][:MOST_VALUES] if len(words) > 1 else ():
            has = (values == word).astype(float)
            mine, others = has[smaller], has[~smaller]
            if min(len(mine), len(others)) >= FEWEST:
                p = _counts_p(mine, others)
                out.append(
                    Association(f"{name}{VALUE_OF}{word}", float(mine.mean()), float(others.mean()), p)
                )
    return out


def _ranks_p(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    values = np.concatenate([a, b])
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    n, m = len(a), len(b)
    total = n + m
    ties = float((counts.astype(float) ** 3 - counts).sum())
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    gap = abs(float(ranks[:n].sum()) - n * (total + 1) / 2)
    return math.erfc(max(gap - 0.5, 0.0) / math.sqrt(2 * variance))


def _counts_p(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    n, m, drawn = len(a), len(b), int(a.sum() + b.sum())
    least, most = max(0, drawn - m), min(n, drawn)
    logs = np.array([_log_choose(n, k) + _log_choose(m, drawn - k) for k in range(least, most + 1)])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    here = weights[int(a.sum()) - least]
    return float(min(1.0, weights[weights <= here * (1 + 1e-9)].sum()))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

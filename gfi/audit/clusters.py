"""S3: a part of a class whose masks have another shape, kept only if it is more than one broad cloud.

SigClust: the cluster index of 2-means, CI = (sum of squares within the two clusters) / (total sum of squares), is
compared with that of the same pipeline on draws from the class's own Gaussian copy (the same mean and covariance).
2-means splits every cloud in two; only a smaller CI than a Gaussian's speaks for clusters.

References
----------
Liu, Hayes, Nobel, Marron, "Statistical significance of clustering for high-dimension, low-sample size data", JASA 103
(2008).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.audit.grids import centred, resized


@dataclass(frozen=True)
class Clusters:
    """Two clusters of a class: which images are in the smaller one (N,), CI, p against the Gaussian copies, and the
    cell (row, column) of the 7×7 grid at which the smaller cluster exceeds the other most."""

    smaller: NDArray[np.bool_]
    index: float
    p: float
    cell: tuple[int, int]


def two_means(
    x: NDArray[np.float64], draw: np.random.Generator, starts: int = 4
) -> tuple[NDArray[np.bool_], float]:
    """The best of several 2-means runs on x (N, d): members of the second cluster (N,), and CI."""
    total = float(((x - x.mean(0)) ** 2).sum())
    best, members = np.inf, np.zeros(len(x), bool)
    for _ in range(starts):
        first = int(draw.integers(len(x)))
        distance = ((x - x[first]) ** 2).sum(1)
        if distance.sum() <= 0:
            break
        second = int(draw.choice(len(x), p=distance / distance.sum()))
        centres = x[[first, second]]
        for _ in range(25):
            gap = ((x - centres[0]) ** 2).sum(1) - ((x - centres[1]) ** 2).sum(1)
            mine = gap > 0
            if mine.all() or not mine.any():
                break
            moved = np.stack([x[~mine].mean(0), x[mine].mean(0)])
            if np.array_equal(moved, centres):
                break
            centres = moved
        if mine.all() or not mine.any():
            continue
        within = sum(float(((x[m] - x[m].mean(0)) ** 2).sum()) for m in (mine, ~mine))
        if within < best:
            best, members = within, mine
    return members, best / total if total > 0 and np.isfinite(best) else 1.0


def clusters(
    grids: NDArray[np.floating],
    features: NDArray[np.floating] | None,
    draw: np.random.Generator,
    copies: int = 99,
    components: int = 10,
) -> Clusters | None:
    """S3 on one class: grids (N, h, w) and, where they are known, projected features (N, d).

    Both are scaled to the same total variance. None for fewer than ten images or masks that are all equal.
    """
    if len(grids) < 10:
        return None
    small = resized(grids, 7)
    parts = [centred(small).reshape(len(grids), -1)]
    if features is not None:
        parts.append(np.asarray(features, float) - features.mean(0))
    spread = [np.sqrt((p**2).sum(1).mean()) for p in parts]
    if spread[0] <= 1e-9:
        return None
    x = np.concatenate([p / s for p, s in zip(parts, spread, strict=True) if s > 0], axis=1)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    rank = min(components, len(s), len(x) - 2)
    scores = u[:, :rank] * s[:rank]
    members, index = two_means(scores, draw)
    if members.sum() * 2 > len(members):
        members = ~members
    deviation = s[:rank] / np.sqrt(len(x))
    beaten = sum(
        two_means(draw.standard_normal((len(x), rank)) * deviation, draw, 2)[1] <= index
        for _ in range(copies)
    )
    gap = small[members].mean(0) - small[~members].mean(0) if members.any() else np.zeros((7, 7))
    row, column = np.unravel_index(int(gap.argmax()), gap.shape)
    return Clusters(members, index, (1 + beaten) / (1 + copies), (int(row), int(column)))

"""New data without pairs: are the masks of two sets of images drawn from one distribution, class by class?

A classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): if a classifier that has not seen an image can tell
whether its mask is of the first or of the second set, the sets differ. The classifier is ridge regression on the masks'
cells and, where there are some, projected features; everything is centred within its class, so that different class
proportions do not count as a difference. With ỹ the centred membership and ŷ its prediction by the folds without the
image,

    T = Σ ỹᵢ ŷᵢ / Σ ỹᵢ²

The null distribution permutes memberships within classes. Folds and scaling do not depend on memberships, so the test
is exact: p = (1 + #{T* ≥ T}) / (1 + permutations).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.drift.distances import Cells
from gfi.drift.errors import DriftError

PERMUTATIONS = 499
FOLDS = 5
MOST_PER_CLASS = 1000
"""The largest number of masks used per class and set; of more, a seeded sample."""
LEAST_PER_CLASS = 10
_RIDGE = 1.0


@dataclass(frozen=True)
class TwoSample:
    """statistic: T, at most 1, about 0 without a difference. p: of all classes together. class_p: of each class.

    n: masks used. left_out: classes with fewer than ten masks in one of the sets.
    """

    statistic: float
    p: float
    class_p: Mapping[int, float]
    n: int
    left_out: tuple[int, ...]

    def sentence(self) -> str:
        """The result in words, the classes with the smallest p first."""
        first = sorted(self.class_p, key=lambda index: self.class_p[index])[:3]
        classes = ", ".join(f"{index} (p = {self.class_p[index]:.3f})" for index in first)
        return (
            f"the masks of the two jobs can{'' if self.p <= 0.05 else 'not'} be told apart within their classes:"
            f" p = {self.p:.3f} by permutation, {self.n:,} masks of {len(self.class_p)} classes; first {classes}"
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "statistic": self.statistic,
            "p": self.p,
            "class_p": {str(index): p for index, p in self.class_p.items()},
            "n": self.n,
            "left_out": list(self.left_out),
            "sentence": self.sentence(),
        }


def features_of(cells: Cells) -> NDArray[np.float64]:
    """Masks (N, 28, 28) as features (N, 49): the shares of their mass on 7 × 7 cells; zeros for a mask of zeros."""
    coarse = cells.reshape(len(cells), 7, 4, 7, 4).mean((2, 4), dtype=np.float64).reshape(len(cells), 49)
    return np.asarray(coarse / np.maximum(coarse.sum(1, keepdims=True), 1e-12))


def two_sample_test(
    features: tuple[NDArray[np.float64], NDArray[np.float64]],
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> TwoSample:
    """Test two sets of images for a difference within classes.

    features: (N₁, d) and (N₂, d); classes: (N₁,) and (N₂,). DriftError when no class has ten masks in both sets.
    """
    random = np.random.default_rng(seed)
    kept, left_out = _chosen(classes, random)
    if not len(kept[0]):
        raise DriftError(f"no class has {LEAST_PER_CLASS} masks in both sets; more images are needed")
    x = np.concatenate([values[rows] for values, rows in zip(features, kept, strict=True)])
    group = np.concatenate([values[rows] for values, rows in zip(classes, kept, strict=True)])
    member = np.repeat([0.0, 1.0], [len(rows) for rows in kept])

    known, code = np.unique(group, return_inverse=True)
    x = x - _class_means(x, code)[code]
    spread = x.std(0)
    x = np.divide(x, spread, out=np.zeros_like(x), where=spread > 1e-12)
    memberships = np.empty((len(x), permutations + 1))
    memberships[:, 0] = member
    for column in range(1, permutations + 1):
        # A random order within each class: sort by class, then by a random number.
        order = np.lexsort((random.random(len(x)), code))
        memberships[np.argsort(code, kind="stable"), column] = member[order]
    y = memberships - _class_means(memberships, code)[code]

    products = y * _predicted(x, y, random.integers(FOLDS, size=len(x)))
    sums = np.zeros((len(known), permutations + 1))
    np.add.at(sums, code, products)
    squares = np.bincount(code, y[:, 0] ** 2)
    whole = sums.sum(0) / squares.sum()
    class_p = (1 + (sums[:, 1:] >= sums[:, :1]).sum(1)) / (1 + permutations)
    return TwoSample(
        statistic=float(whole[0]),
        p=float((1 + (whole[1:] >= whole[0]).sum()) / (1 + permutations)),
        class_p=dict(zip(known.tolist(), class_p.tolist(), strict=True)),
        n=len(x),
        left_out=left_out,
    )


def _chosen(
    classes: tuple[NDArray[np.int64], NDArray[np.int64]], random: np.random.Generator
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], tuple[int, ...]]:
    """The rows of each set that are used, and the classes that have too few."""
    rows: tuple[list[NDArray[np.intp]], list[NDArray[np.intp]]] = ([], [])
    left_out = []
    for index in np.union1d(*classes).tolist():
        found = [np.flatnonzero(values == index) for values in classes]
        if min(map(len, found)) < LEAST_PER_CLASS:
            left_out.append(index)
            continue
        for kept, at in zip(rows, found, strict=True):
            kept.append(at if len(at) <= MOST_PER_CLASS else random.choice(at, MOST_PER_CLASS, replace=False))
    first, second = (np.concatenate(kept) if kept else np.empty(0, np.intp) for kept in rows)
    return (first, second), tuple(left_out)


def _class_means(values: NDArray[np.float64], code: NDArray[np.intp]) -> NDArray[np.float64]:
    sums = np.zeros((int(code.max()) + 1, values.shape[1]))
    np.add.at(sums, code, values)
    return np.asarray(sums / np.bincount(code)[:, None])


def _predicted(
    x: NDArray[np.float64], y: NDArray[np.float64], fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Each row predicted by ridge regression on the other folds: (N, columns of y)."""
    out = np.empty_like(y)
    for number in range(FOLDS):
        seen, held = fold != number, fold == number
        gram = x[seen].T @ x[seen] + _RIDGE * np.eye(x.shape[1]) * max(seen.sum() / 100, 1)
        out[held] = x[held] @ np.linalg.solve(gram, x[seen].T @ y[seen])
    return out

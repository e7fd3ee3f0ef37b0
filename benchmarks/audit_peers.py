"""Two published ways to look for shortcuts, on the same runs as the audit: SpRAy on its masks, and cleanlab's property
score on its photographs. Literal versions in numpy, for the benchmark only.

References
----------
Lapuschkin et al., "Unmasking Clever Hans predictors", Nature Communications 10 (2019): SpRAy.
Anders et al., "Finding and removing Clever Hans", Information Fusion 77 (2022): ranking by a Fisher discriminant.
cleanlab, Datalab, issue "spurious_correlations": how well a property alone predicts the label.
"""

import math

import numpy as np
from numpy.typing import NDArray

from gfi.audit.clusters import two_means
from gfi.audit.grids import resized
from gfi.domain.pixel_properties import pixel_properties

FLAGGED_BELOW = 0.3
"""cleanlab's threshold of its score."""
OF_CLEANLAB = ("brightness", "contrast", "saturation", "sharpness", "aspect")
"""Ours that stand for cleanlab's dark and light, low information, grayscale, blurry and odd aspect ratio."""


def spray(grids: NDArray[np.floating], classes: NDArray[np.integer], number: int) -> dict[str, list[float]]:
    """SpRAy's two scores of each class: eigengap (2019) and Fisher discriminant (2022).

    Masks (N, h, w) of a class are scaled to mass 1, joined to their round(log n) nearest neighbours, and embedded by
    the symmetric normalised Laplacian. eigengap: the largest of the first ten gaps between its eigenvalues, without the
    gap after the first. fisher: between over within two clusters in the first four eigenvectors.
    """
    gaps, fisher = [], []
    for k in range(number):
        x = resized(grids[classes == k], 14).reshape(-1, 196).astype(np.float64)
        if len(x) < 20:
            gaps.append(0.0)
            fisher.append(0.0)
            continue
        x /= np.maximum(x.sum(1, keepdims=True), 1e-12)
        values, vectors = np.linalg.eigh(_laplacian(x))
        gaps.append(round(float(np.diff(values[1:12]).max()), 6))
        index = two_means(vectors[:, :4], np.random.default_rng(k), 8)[1]
        fisher.append(round((1 - index) / max(index, 1e-9), 6))
    return {"eigengap": gaps, "fisher": fisher}


def _laplacian(x: NDArray[np.float64]) -> NDArray[np.float64]:
    square = (x**2).sum(1)
    distance = square[:, None] + square - 2 * x @ x.T
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : max(2, round(math.log(len(x))))]
    joined = np.zeros((len(x), len(x)))
    np.put_along_axis(joined, nearest, 1, axis=1)
    joined = np.maximum(joined, joined.T)
    root = 1 / np.sqrt(joined.sum(1))
    return np.eye(len(x)) - root[:, None] * joined * root


def property_score(pixels: NDArray[np.uint8], labels: NDArray[np.integer]) -> dict[str, float]:
    """cleanlab's score of each property, in [0, 1]: (1 − accuracy) / (1 − share of the largest class).

    accuracy: of a Gaussian naive Bayes classifier that sees the property alone, in five folds. Low: the property gives
    the label away. It is a score of the dataset and names no class.
    """
    measured = pixel_properties(pixels)
    largest = np.bincount(labels).max() / len(labels)
    folds = np.random.default_rng(0).permutation(len(labels)) % 5
    out = {}
    for name in OF_CLEANLAB:
        x = measured[name]
        right = sum(_right(x, labels, folds == fold) for fold in range(5))
        out[name] = round(min(1.0, (1 - right / len(labels)) / max(1 - largest, 1e-8)), 4)
    return out


def _right(x: NDArray[np.float64], labels: NDArray[np.integer], tested: NDArray[np.bool_]) -> int:
    """How many of the images tested a Gaussian naive Bayes classifier, fitted to the others, labels right."""
    known = np.unique(labels[~tested])
    mean = np.array([x[~tested & (labels == k)].mean() for k in known])
    variance = np.array([x[~tested & (labels == k)].var() for k in known]) + 1e-9 * x.var() + 1e-12
    prior = np.array([(~tested & (labels == k)).sum() for k in known])
    score = np.log(prior) - 0.5 * np.log(variance) - (x[tested, None] - mean) ** 2 / (2 * variance)
    return int((known[score.argmax(1)] == labels[tested]).sum())

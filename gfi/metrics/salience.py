"""Salience: the mask as a map of the salient object, against the object's pixels.

    B = {s ≥ 2 · mean(s)},  P = |B ∩ G| / |B|,  R = |B ∩ G| / |G|
    F = (1 + β²) · P · R / (β² · P + R)  with β² = 0.3,      MAE = mean |s − g|

s is the mask on the photograph, g the object as 0 and 1. A metric of `gfi reproduce salient-objects` alone: the images
of a job have boxes and no pixels of objects. numpy only: no torch.

References
----------
Achanta, Hemami, Estrada, Süsstrunk, "Frequency-tuned Salient Region Detection", CVPR 2009 (threshold and F-measure).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle, place

TIMES = 2.0
"""The threshold, as a multiple of the map's mean."""
BETA_SQUARED = 0.3


class Salience(NamedTuple):
    """Precision, recall and F-measure of the thresholded map, and its mean absolute error; all in [0, 1]."""

    precision: float
    recall: float
    f_measure: float
    error: float


def f_measure(precision: float, recall: float) -> float:
    """(1 + β²)PR/(β²P + R) with β² = 0.3; 0 where both are.

    >>> round(f_measure(0.5, 1.0), 3)
    0.565
    """
    below = BETA_SQUARED * precision + recall
    return (1 + BETA_SQUARED) * precision * recall / below if below > 0 else 0.0


def salience(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Rectangle, truth: NDArray[np.bool_]
) -> Salience:
    """The scores of one mask.

    Parameters
    ----------
    mask : ndarray
        (h, w) in [0, 1], at the input size.
    original_size : (int, int)
        (H, W) of the photograph after EXIF orientation.
    box : Rectangle
        What the network saw of it, (left, top, right, bottom) in original pixels.
    truth : ndarray
        (H, W) bool: the pixels of the salient object; at least one.

    Returns
    -------
    Salience
        A map without a pixel at the threshold, or of zeros only, has precision and recall 0.

    Examples
    --------
    >>> truth = np.array([[False, False, False, True]])
    >>> salience(np.array([[0.0, 0.0, 0.0, 1.0]]), (1, 4), (0, 0, 4, 1), truth)
    Salience(precision=1.0, recall=1.0, f_measure=1.0, error=0.0)
    """
    if truth.shape != original_size:
        raise ValueError(f"the object's mask is {truth.shape}, the photograph {original_size}")
    shown = place(mask, original_size, box).astype(np.float64)
    threshold = TIMES * shown.mean()
    marked = (shown >= threshold) & (shown > 0)
    shared = int((marked & truth).sum())
    precision = shared / int(marked.sum()) if marked.any() else 0.0
    recall = shared / int(truth.sum()) if truth.any() else 0.0
    return Salience(precision, recall, f_measure(precision, recall), float(np.abs(shown - truth).mean()))

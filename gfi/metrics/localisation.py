"""Localisation: the box around the mask, and whether it finds an object of the class. The paper's own measure.

    B(m) = the tightest rectangle around {m > α · mean(m)}
    error = 1 if IoU(B(m), G) ≤ ½ for every ground-truth box G of the class, else 0

The error of a method is the mean over images. A mask that nowhere exceeds the threshold has no box, which is an error.
α is one of 0, 0.5 … 10, chosen for each method on images that are not tested (`choose`). Du et al. chose 1.5 for guided
inversion on training images of ImageNet; the column of a job has that value. `overlaps` gives the IoU at every α.

The mask is read on the original photograph, and its mean is that of the mask at the input size, as in
`gfi.metrics.iou_box`. numpy only: no torch.

References
----------
Du, Liu, Song, Hu, "Towards Explanation of DNN-based Prediction with Guided Feature Inversion", KDD 2018, section 4.2.
Cao et al., "Look and Think Twice: Capturing Top-Down Visual Attention with Feedback Convolutional Neural Networks",
ICCV 2015 (the protocol).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle
from gfi.metrics.iou_box import ALPHA, best_overlap, mask_boxes
from gfi.metrics.sample import Sample

ALPHAS = tuple(step / 2 for step in range(21))
"""The thresholds among which the paper chooses, as multiples of the mask's mean: 0, 0.5 … 10."""
OVERLAP = 0.5
"""An IoU of at most this is an error."""


def overlaps(
    mask: NDArray[np.floating],
    original_size: tuple[int, int],
    box: Rectangle,
    regions: Sequence[Rectangle],
    alphas: Sequence[float] = ALPHAS,
) -> NDArray[np.float64]:
    """The IoU of the box around a mask with the best ground-truth box, at each threshold.

    Parameters
    ----------
    mask : ndarray
        (h, w), at the input size.
    original_size : (int, int)
        (H, W) of the photograph after EXIF orientation.
    box : Rectangle
        What the network saw of it, (left, top, right, bottom) in original pixels.
    regions : sequence of Rectangle
        The ground-truth boxes of the class, in original pixels, half-open; at least one.
    alphas : sequence of float
        Thresholds, as multiples of the mask's mean.

    Returns
    -------
    ndarray
        (len(alphas),) float64 in [0, 1]; 0 where nothing exceeds the threshold.

    Examples
    --------
    >>> mask = np.array([[0.0, 0.0, 0.5, 1.0]])
    >>> overlaps(mask, (1, 4), (0, 0, 4, 1), [(3, 0, 4, 1)], (0.0, 1.5, 9.0)).tolist()
    [0.5, 1.0, 0.0]
    """
    around = mask_boxes(mask, original_size, box, alphas)
    return np.array([0.0 if one is None else best_overlap(one, regions, original_size) for one in around])


def errors(found: NDArray[np.floating]) -> NDArray[np.float64]:
    """1.0 for each IoU of at most one half, else 0.0; of any shape.

    >>> errors(np.array([0.5, 0.51])).tolist()
    [1.0, 0.0]
    """
    return (found <= OVERLAP).astype(np.float64)


class Chosen(NamedTuple):
    """A threshold, its error and its mean IoU on the images it was chosen on."""

    alpha: float
    error: float
    iou: float


def choose(found: NDArray[np.floating], alphas: Sequence[float] = ALPHAS) -> Chosen:
    """The threshold with the least error; of equal ones that with the higher mean IoU, then the smaller.

    found: (N, len(alphas)), `overlaps` of the images on which to choose; ValueError for none.

    >>> choose(np.array([[0.2, 0.6, 0.7], [0.1, 0.9, 0.4]]), (0.0, 0.5, 1.0))
    Chosen(alpha=0.5, error=0.0, iou=0.75)
    """
    if not len(found):
        raise ValueError("no image to choose a threshold on")
    wrong, mean = errors(found).mean(0), found.mean(0)
    best = min(range(len(alphas)), key=lambda at: (wrong[at], -mean[at], alphas[at]))
    return Chosen(alphas[best], float(wrong[best]), float(mean[best]))


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image, at α = 1.5."""
    if not sample.regions:
        return {"localisation_error": np.nan}
    found = overlaps(sample.mask, sample.original_size, sample.box, sample.regions, (ALPHA,))
    return {"localisation_error": float(errors(found)[0])}

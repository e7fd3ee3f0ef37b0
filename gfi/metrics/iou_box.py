"""IoU of boxes: the mask's own box against the best ground-truth box of the class.

    B(m) = the tightest rectangle around {m > α · mean(m)},   IoU = max over boxes G of |B ∩ G| / |B ∪ G|

α = 1.5, the value that Du et al. (KDD 2018, section 4.2) chose for guided inversion on training images. The
mask is read on the original photograph (`gfi.domain.geometry`), in stripes, so that a large photograph
takes no large array; its mean is that of the mask at the input size. In the localisation task an image
counts as an error where this is at most 0.5.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Box, stripes
from gfi.metrics.sample import Sample

ALPHA = 1.5


def iou_box(
    masks: NDArray[np.floating],
    original_sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Box],
    regions: Sequence[Sequence[Box]],
    alpha: float = ALPHA,
) -> NDArray[np.float64]:
    """IoU of each mask's box with the best ground-truth box.

    Parameters
    ----------
    masks : array
        (N, h, w), at the input size.
    original_sizes : sequence of (H, W)
        Of the photographs, after EXIF orientation.
    boxes : sequence of (left, top, right, bottom)
        What the network saw, in original pixels.
    regions : sequence of sequences of boxes
        Ground-truth boxes of the class for each image, in original pixels, half-open.
    alpha : float
        The threshold as a multiple of the mask's mean.

    Returns
    -------
    array
        (N,) in [0, 1]; not-a-number without a ground-truth box or without a cell above the threshold.

    References
    ----------
    Du, Liu, Song, Hu, "Towards Explanation of DNN-based Prediction with Guided Feature Inversion", KDD 2018.

    Examples
    --------
    >>> mask = np.zeros((1, 4, 4)); mask[0, 1:3, 1:3] = 1
    >>> float(iou_box(mask, [(4, 4)], [(0, 0, 4, 4)], [[(1, 1, 3, 3)]])[0])
    1.0
    """
    rows = zip(masks, original_sizes, boxes, regions, strict=True)
    return np.array([_best(mask, size, box, truth, alpha) for mask, size, box, truth in rows])


def mask_box(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Box, alpha: float = ALPHA
) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom), half-open: the tightest rectangle around what exceeds α times the mean; None where
    nothing does."""
    threshold = alpha * float(mask.mean())
    tops, bottoms, lefts, rights = [], [], [], []
    for first, lines in stripes(mask, original_size, box):
        above = lines > threshold
        down, across = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
        if len(down):
            tops.append(first + int(down[0]))
            bottoms.append(first + int(down[-1]) + 1)
            lefts.append(int(across[0]))
            rights.append(int(across[-1]) + 1)
    return (min(lefts), min(tops), max(rights), max(bottoms)) if tops else None


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"iou_box": float(iou_box(sample.mask[None], *sample.geometry)[0])}


def _best(
    mask: NDArray[np.floating], size: tuple[int, int], box: Box, truth: Sequence[Box], alpha: float
) -> float:
    found = mask_box(mask, size, box, alpha) if truth else None
    return max(_iou(found, region) for region in truth) if found is not None else math.nan


def _iou(one: Box | tuple[int, int, int, int], other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return shared / (sum(areas) - shared)

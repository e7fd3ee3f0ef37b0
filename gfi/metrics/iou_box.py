"""IoU of boxes: the box around the mask and the ground-truth box of the class that fits it best.

    B(m) = the tightest rectangle around {m > α · mean(m)},   IoU = max over boxes G of |B ∩ G| / |B ∪ G|

α = 1.5, the value that Du et al. chose for guided inversion on training images. The mask is read on the original
photograph (`gfi.domain.geometry`), in stripes, so that a large photograph needs no large array; its mean is that of the
mask at the input size. A ground-truth box consists of the pixels whose centre it contains, as for every metric. In the
localisation task an image counts as an error where the IoU is at most 0.5.

numpy only: no torch.

References
----------
Du, Liu, Song, Hu, "Towards Explanation of DNN-based Prediction with Guided Feature Inversion", KDD 2018, section 4.2.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle, pixels, stripes
from gfi.metrics.sample import Sample

ALPHA = 1.5


def iou_box(
    masks: NDArray[np.floating],
    original_sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Rectangle],
    regions: Sequence[Sequence[Rectangle]],
    alpha: float = ALPHA,
) -> NDArray[np.float64]:
    """The IoU of the box around each mask with the best ground-truth box; higher is better.

    Parameters
    ----------
    masks : ndarray
        (N, 1, h, w) or (N, h, w), at the input size.
    original_sizes : sequence of (int, int)
        (H, W) of each photograph after EXIF orientation.
    boxes : sequence of Rectangle
        What the network saw of each photograph, (left, top, right, bottom) in original pixels.
    regions : sequence of sequences of Rectangle
        The ground-truth boxes of the class on each photograph, in original pixels, half-open.
    alpha : float
        The threshold, as a multiple of the mask's mean.

    Returns
    -------
    ndarray
        (N,) float64 in [0, 1]; not-a-number without a ground-truth box, or where no pixel exceeds the threshold.

    References
    ----------
    Du et al., "Towards Explanation of DNN-based Prediction with Guided Feature Inversion", KDD 2018, section 4.2.

    Examples
    --------
    >>> mask = np.zeros((1, 4, 4))
    >>> mask[0, 1:3, 1:3] = 1
    >>> iou_box(mask, [(4, 4)], [(0, 0, 4, 4)], [[(1, 1, 3, 3)]]).tolist()
    [1.0]
    """
    maps = masks.reshape(len(masks), *masks.shape[-2:])
    rows = zip(maps, original_sizes, boxes, regions, strict=True)
    return np.array([_best(mask, size, box, truth, alpha) for mask, size, box, truth in rows])


def mask_box(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Rectangle, alpha: float = ALPHA
) -> tuple[int, int, int, int] | None:
    """The tightest rectangle around what exceeds α times the mask's mean.

    Parameters
    ----------
    mask : ndarray
        (h, w), at the input size.
    original_size : (int, int)
        (H, W) of the photograph after EXIF orientation.
    box : Rectangle
        What the network saw of it, (left, top, right, bottom) in original pixels.
    alpha : float
        The threshold, as a multiple of the mask's mean.

    Returns
    -------
    (int, int, int, int) or None
        (left, top, right, bottom) in original pixels, half-open; None where nothing exceeds the threshold.

    Examples
    --------
    >>> mask = np.zeros((2, 4))
    >>> mask[0, 2:] = 1
    >>> mask_box(mask, (2, 4), (0, 0, 4, 2))
    (2, 0, 4, 1)
    """
    return mask_boxes(mask, original_size, box, (alpha,))[0]


def mask_boxes(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Rectangle, alphas: Sequence[float]
) -> list[tuple[int, int, int, int] | None]:
    """`mask_box` at each of several thresholds. The mask is drawn once: the rectangle around everything above a
    threshold follows from the largest value of each row and of each column.

    Examples
    --------
    >>> mask_boxes(np.array([[0.0, 0.5, 1.0]]), (1, 3), (0, 0, 3, 1), (0.0, 1.0, 1.5))
    [(1, 0, 3, 1), (2, 0, 3, 1), (2, 0, 3, 1)]
    """
    rows, columns = [], np.full(original_size[1], -math.inf)
    for _, lines in stripes(mask, original_size, box):
        rows.append(lines.max(1))
        columns = np.maximum(columns, lines.max(0))
    highest, mean = np.concatenate(rows), float(mask.mean())
    found: list[tuple[int, int, int, int] | None] = []
    for alpha in alphas:
        down, across = np.flatnonzero(highest > alpha * mean), np.flatnonzero(columns > alpha * mean)
        edges = (int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1) if len(down) else None
        found.append(edges)
    return found


def best_overlap(
    around: tuple[int, int, int, int], regions: Sequence[Rectangle], original_size: tuple[int, int]
) -> float:
    """The IoU of a rectangle (left, top, right, bottom) with the ground-truth box that fits it best."""
    inside = (pixels(region, original_size) for region in regions)
    return max(_iou(around, (left, top, right, bottom)) for top, bottom, left, right in inside)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"iou_box": float(iou_box(sample.mask[None], *sample.geometry)[0])}


def _best(
    mask: NDArray[np.floating],
    size: tuple[int, int],
    box: Rectangle,
    truth: Sequence[Rectangle],
    alpha: float,
) -> float:
    around = mask_box(mask, size, box, alpha) if truth else None
    return math.nan if around is None else best_overlap(around, truth, size)


def _iou(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return shared / (sum(areas) - shared)

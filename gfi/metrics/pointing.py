"""The pointing game: is the strongest point of the mask on the object?

The mask is resized bilinearly to the original photograph. Its arg-max (the first in raster order) is a hit when it lies
within `tolerance` pixels of a ground-truth box of the class: 15 in the literature's protocol, 0 in the table of the
guided-inversion paper. Accuracy is computed for each class and then averaged over classes, so that a frequent class
such as "person" does not dominate the score. Boxes that the annotators marked as difficult are kept apart: an image is
judged by its ordinary boxes if it has any, and otherwise counts as a difficult image (`ordinary`). Where the dataset
has outlines of objects, their regions count in place of the boxes.

The mask is read in stripes, so that a large photograph needs no large array. numpy only: no torch.

References
----------
Zhang, Lin, Brandt, Shen, Sclaroff, "Top-down Neural Attention by Excitation Backprop", ECCV 2016.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle, pixels, stripes
from gfi.metrics.sample import Sample

TOLERANCE = 15.0
_Region = TypeVar("_Region")


def pointing(
    masks: NDArray[np.floating],
    original_sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Rectangle],
    regions: Sequence[Sequence[Rectangle]],
    tolerance: float = TOLERANCE,
) -> NDArray[np.float64]:
    """Whether the strongest point of each mask hits a ground-truth box.

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
    tolerance : float
        Distance in original pixels at which a point still hits a box.

    Returns
    -------
    ndarray
        (N,) float64: 1 for a hit; 0 for a miss, and for a constant or non-finite mask, which has no strongest point;
        not-a-number for an image without a ground-truth box.

    References
    ----------
    Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016.

    Examples
    --------
    >>> mask = np.zeros((1, 4, 4))
    >>> mask[0, 0, 3] = 1
    >>> regions = [[(0, 0, 2, 4)]]
    >>> [pointing(mask, [(4, 4)], [(0, 0, 4, 4)], regions, tolerance=t).item() for t in (0, 2)]
    [0.0, 1.0]
    """
    maps = masks.reshape(len(masks), *masks.shape[-2:])
    hits = []
    for mask, size, box, truth in zip(maps, original_sizes, boxes, regions, strict=True):
        point = strongest(mask, size, box) if truth else None
        hits.append(float(point is not None and within(point, truth, size, tolerance)) if truth else math.nan)
    return np.array(hits)


def strongest(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Rectangle
) -> tuple[int, int] | None:
    """The arg-max of a mask on the original photograph, the first in raster order.

    Parameters
    ----------
    mask : ndarray
        (h, w), at the input size.
    original_size : (int, int)
        (H, W) of the photograph after EXIF orientation.
    box : Rectangle
        What the network saw of it, (left, top, right, bottom) in original pixels.

    Returns
    -------
    (int, int) or None
        (row, column) in original pixels; None for a constant or non-finite mask.

    Examples
    --------
    >>> strongest(np.array([[0.0, 1.0], [0.0, 0.0]]), (4, 4), (0, 0, 4, 4))
    (0, 3)
    """
    if not np.isfinite(mask).all() or mask.max() == mask.min():
        return None
    best, point = -math.inf, None
    for first, lines in stripes(mask, original_size, box):
        index = int(lines.argmax())
        value = float(lines.flat[index])
        if value > best:
            best, point = value, (first + index // lines.shape[1], index % lines.shape[1])
    return point


def within(
    point: tuple[int, int], regions: Sequence[Rectangle], original_size: tuple[int, int], tolerance: float
) -> bool:
    """Whether `point` (row, column) is at most `tolerance` pixels (Euclidean) from a pixel of one of the boxes."""
    row, column = point
    for region in regions:
        top, bottom, left, right = pixels(region, original_size)
        if top >= bottom or left >= right:
            continue
        down = max(top - row, 0, row - (bottom - 1))
        across = max(left - column, 0, column - (right - 1))
        if math.hypot(down, across) <= tolerance:
            return True
    return False


def within_region(point: tuple[int, int], region: NDArray[np.bool_], tolerance: float) -> bool:
    """Whether `point` (row, column) is at most `tolerance` pixels (Euclidean) from a pixel of the region (H, W)."""
    reach = math.floor(tolerance)
    top, left = max(0, point[0] - reach), max(0, point[1] - reach)
    near = region[top : point[0] + reach + 1, left : point[1] + reach + 1]
    down, across = np.nonzero(near)
    return bool((np.hypot(down + top - point[0], across + left - point[1]) <= tolerance).any())


def ordinary(regions: Sequence[_Region], difficult: Sequence[bool]) -> tuple[list[_Region], bool]:
    """The boxes to judge an image by, and whether it counts among the difficult images.

    Parameters
    ----------
    regions : sequence
        The ground-truth boxes of the class.
    difficult : sequence of bool
        Which of them the annotators marked as difficult.

    Returns
    -------
    (list, bool)
        The boxes that are not difficult, and False; where all are difficult, all boxes and True.

    Examples
    --------
    >>> ordinary([(0, 0, 5, 5), (5, 5, 9, 9)], [False, True])
    ([(0, 0, 5, 5)], False)
    """
    plain = [region for region, hard in zip(regions, difficult, strict=True) if not hard]
    return (plain, False) if plain or not regions else (list(regions), True)


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of the pointing game.

    Attributes
    ----------
    by_class : float
        The score: the mean of the class accuracies, in [0, 1]; not-a-number without an image.
    overall : float
        The accuracy over all images, in [0, 1]; not-a-number without an image.
    classes : dict
        Class to (accuracy, number of images).
    """

    by_class: float
    overall: float
    classes: dict[Hashable, tuple[float, int]]


def accuracy(hits: Sequence[float] | NDArray[np.float64], classes: Sequence[Hashable]) -> Accuracy:
    """The accuracy of each class, averaged over classes.

    Parameters
    ----------
    hits : sequence of float
        (N,), as `pointing` returns them; images where it is not-a-number are left out.
    classes : sequence
        (N,), the class of each image.

    Returns
    -------
    Accuracy

    Examples
    --------
    >>> accuracy([1, 1, 0, 0], ["person", "person", "person", "cat"]).by_class
    0.3333333333333333
    """
    groups: dict[Hashable, list[float]] = {}
    for hit, label in zip(hits, classes, strict=True):
        if not math.isnan(hit):
            groups.setdefault(label, []).append(float(hit))
    per_class: dict[Hashable, tuple[float, int]] = {
        label: (sum(of_class) / len(of_class), len(of_class)) for label, of_class in groups.items()
    }
    count = sum(images for _, images in per_class.values())
    if not count:
        return Accuracy(math.nan, math.nan, {})
    mean = sum(score for score, _ in per_class.values()) / len(per_class)
    overall = sum(score * images for score, images in per_class.values()) / count
    return Accuracy(mean, overall, per_class)


def measure(sample: Sample) -> dict[str, float]:
    """The columns of this metric for one explained image."""
    masks = sample.mask[None]
    if sample.region is not None:
        point = strongest(sample.mask, sample.original_size, sample.box)
        return {
            "pointing_hit": float(point is not None and within_region(point, sample.region, TOLERANCE)),
            "pointing_hit_0": float(point is not None and within_region(point, sample.region, 0.0)),
        }
    return {
        "pointing_hit": float(pointing(masks, *sample.geometry)[0]),
        "pointing_hit_0": float(pointing(masks, *sample.geometry, tolerance=0.0)[0]),
    }

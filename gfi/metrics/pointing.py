"""The pointing game (Zhang et al., Excitation Backprop, 2016): does the strongest point hit the object?

The mask is resized bilinearly to the original photograph; its arg-max (the first in raster order) is a
hit when it lies within `tolerance` pixels of a ground-truth region of the class: 15 in the literature's
protocol, 0 in the paper's table. Accuracy is taken per class and then averaged, so that "person" does
not decide the score. Boxes that the annotators call difficult are kept apart: an image is judged by
its ordinary boxes where it has any, and otherwise counted among the difficult ones (`ordinary`).

numpy only: no torch. The photograph-size mask is read in stripes, never held.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Box, pixels, stripes
from gfi.metrics.sample import Sample

TOLERANCE = 15.0


def pointing(
    masks: NDArray[np.floating],
    original_sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Box],
    regions: Sequence[Sequence[Box]],
    tolerance: float = TOLERANCE,
) -> NDArray[np.float64]:
    """1 for a hit, 0 for a miss, not-a-number for an image without a ground-truth box: (N,).

    masks: (N, 1, h, w) or (N, h, w) at the input size; original_sizes: (H, W) after EXIF rotation;
    boxes: what the network saw, (left, top, right, bottom) in original pixels; regions: the
    ground-truth boxes of the class for each image, likewise, half-open. A constant mask points nowhere.
    """
    maps = masks.reshape(len(masks), *masks.shape[-2:])
    hits = []
    for mask, size, box, truth in zip(maps, original_sizes, boxes, regions, strict=True):
        at = strongest(mask, size, box) if truth else None
        hits.append(float(at is not None and within(at, truth, size, tolerance)) if truth else math.nan)
    return np.array(hits)


def strongest(mask: NDArray[np.floating], original_size: tuple[int, int], box: Box) -> tuple[int, int] | None:
    """(row, column) of the arg-max on the original photograph; None for a constant or non-finite mask."""
    if not np.isfinite(mask).all() or mask.max() == mask.min():
        return None
    best, at = -math.inf, None
    for first, lines in stripes(mask, original_size, box):
        place = int(lines.argmax())
        value = float(lines.flat[place])
        if value > best:
            best, at = value, (first + place // lines.shape[1], place % lines.shape[1])
    return at


def within(
    point: tuple[int, int], regions: Sequence[Box], original_size: tuple[int, int], tolerance: float
) -> bool:
    """Whether a pixel of one of the boxes is at most `tolerance` pixels (Euclidean) from `point`."""
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


def ordinary(regions: Sequence[Box], difficult: Sequence[bool]) -> tuple[list[Box], bool]:
    """The boxes to judge an image by, and whether it counts among the difficult images.

    The boxes not flagged difficult where there are any; otherwise all of them, and True.
    """
    plain = [region for region, hard in zip(regions, difficult, strict=True) if not hard]
    return (plain, False) if plain or not regions else (list(regions), True)


@dataclass(frozen=True)
class Accuracy:
    """by_class: mean of the class accuracies (the score); overall: of all images; not-a-number if none.

    classes: class → (accuracy, images).
    """

    by_class: float
    overall: float
    classes: dict[Hashable, tuple[float, int]]


def accuracy(hits: Sequence[float] | NDArray[np.float64], classes: Sequence[Hashable]) -> Accuracy:
    """Accuracy per class, then averaged; images without a verdict (not-a-number) are left out."""
    groups: dict[Hashable, list[float]] = {}
    for hit, label in zip(hits, classes, strict=True):
        if not math.isnan(hit):
            groups.setdefault(label, []).append(float(hit))
    per_class: dict[Hashable, tuple[float, int]] = {
        label: (sum(found) / len(found), len(found)) for label, found in groups.items()
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
    return {
        "pointing_hit": float(pointing(masks, *sample.geometry)[0]),
        "pointing_hit_0": float(pointing(masks, *sample.geometry, tolerance=0.0)[0]),
    }

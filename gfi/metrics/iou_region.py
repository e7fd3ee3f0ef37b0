"""IoU of regions: what the mask marks, and the pixels of the class's objects.

    M = {m > α · mean(m)},   IoU = |M ∩ R| / |M ∪ R|

R are the pixels of all objects of the class together, α = 1.5 as for `gfi.metrics.iou_box`, whose box is the one around
M. The mask is read on the original photograph (`gfi.domain.geometry`), its mean is that of the mask at the input size.
All of R counts, also what the network did not see of it; where it saw none of R, no mask can mark it, and there is no
number. An object that has only a box counts by its box, in an image where another has an outline.

numpy only: no torch.
"""

import math

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle, axes, stripes
from gfi.metrics.iou_box import ALPHA
from gfi.metrics.sample import Sample


def iou_region(
    mask: NDArray[np.floating],
    original_size: tuple[int, int],
    box: Rectangle,
    region: NDArray[np.bool_],
    alpha: float = ALPHA,
) -> float:
    """The IoU of the pixels above the threshold with a region; higher is better.

    Parameters
    ----------
    mask : ndarray
        (h, w), at the input size.
    original_size : (int, int)
        (H, W) of the photograph after EXIF orientation.
    box : Rectangle
        What the network saw of it, (left, top, right, bottom) in original pixels.
    region : ndarray of bool
        (H, W), the pixels of the class's objects on the photograph.
    alpha : float
        The threshold, as a multiple of the mask's mean.

    Returns
    -------
    float
        In [0, 1]; not-a-number where the network saw no pixel of the region, or where no pixel exceeds the threshold.

    Examples
    --------
    >>> mask = np.array([[0.0, 1.0], [0.0, 0.0]])
    >>> iou_region(mask, (2, 2), (0, 0, 2, 2), np.array([[False, True], [False, True]]))
    0.5
    """
    shared, marked, threshold = 0, 0, alpha * float(mask.mean())
    for first, lines in stripes(mask, original_size, box):
        above = lines > threshold
        marked += int(above.sum())
        shared += int((above & region[first : first + len(lines)]).sum())
    if not marked or is_unseen(region, box):
        return math.nan
    return shared / (marked + int(region.sum()) - shared)


def is_unseen(region: NDArray[np.bool_], box: Rectangle) -> bool:
    """Whether the network, which saw `box` of the photograph, saw no pixel of a region (H, W) of it.

    >>> is_unseen(np.array([[True, False, False]]), (1, 0, 3, 1))
    True
    """
    rows, columns = axes((1, 1), (region.shape[0], region.shape[1]), box)
    return not region[rows.seen][:, columns.seen].any()


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image; not-a-number where no object of the class has an outline."""
    if sample.region is None:
        return {"iou_region": math.nan}
    return {"iou_region": iou_region(sample.mask, sample.original_size, sample.box, sample.region)}

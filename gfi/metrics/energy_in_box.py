"""Energy in box: the share of the mask's mass that lies inside the ground-truth boxes of the class.

    energy = Σ_{pixels in a box} m / Σ m

The mask is read on the original photograph (`gfi.domain.geometry`); it is zero outside what the network saw. Pixels in
several boxes count once. Where the dataset has outlines of objects, their regions count in place of the boxes. Higher
is better. A uniform mask scores the share of the *area* inside the boxes.

The mask is never drawn at the photograph's size: it would be U_h·m·U_wᵀ, so the mass of a rectangle is aᵀ·m·b, where a
and b are the sums of the rectangle's rows of U_h and U_w.

numpy only: no torch.

References
----------
Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPR Workshops 2020
(energy-based pointing game).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle, axes, pixels, stripes
from gfi.metrics.sample import Sample


def energy_in_box(
    masks: NDArray[np.floating],
    original_sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Rectangle],
    regions: Sequence[Sequence[Rectangle]],
) -> NDArray[np.float64]:
    """The share of each mask's mass inside the ground-truth boxes; higher is better.

    Parameters
    ----------
    masks : ndarray
        (N, 1, h, w) or (N, h, w), not negative, at the input size.
    original_sizes : sequence of (int, int)
        (H, W) of each photograph after EXIF orientation.
    boxes : sequence of Rectangle
        What the network saw of each photograph, (left, top, right, bottom) in original pixels.
    regions : sequence of sequences of Rectangle
        The ground-truth boxes of the class on each photograph, in original pixels, half-open.

    Returns
    -------
    ndarray
        (N,) float64 in [0, 1]; not-a-number without a ground-truth box, or where the mask has no mass.

    References
    ----------
    Wang et al., "Score-CAM", CVPR Workshops 2020.

    Examples
    --------
    >>> mask, left_half = np.ones((1, 4, 4)), [(0, 0, 2, 4)]
    >>> energy_in_box(mask, [(4, 4)], [(0, 0, 4, 4)], [left_half]).tolist()
    [0.5]
    """
    maps = masks.reshape(len(masks), *masks.shape[-2:])
    rows = zip(maps, original_sizes, boxes, regions, strict=True)
    return np.array([_share(m.astype(np.float64), size, box, truth) for m, size, box, truth in rows])


def energy_in_region(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Rectangle, region: NDArray[np.bool_]
) -> float:
    """The share of the mass of a mask (h, w) inside a region (H, W) of the photograph; not-a-number without mass.

    Examples
    --------
    >>> energy_in_region(np.ones((2, 2)), (2, 2), (0, 0, 2, 2), np.eye(2, dtype=bool))
    0.5
    """
    inside = total = 0.0
    for first, lines in stripes(mask, original_size, box):
        inside += float(lines[region[first : first + len(lines)]].sum())
        total += float(lines.sum())
    return min(inside / total, 1.0) if total > 0 else np.nan


def _share(
    mask: NDArray[np.float64], size: tuple[int, int], box: Rectangle, regions: Sequence[Rectangle]
) -> float:
    down, across = axes((mask.shape[0], mask.shape[1]), size, box)

    def mass(top: int, bottom: int, left: int, right: int) -> float:
        return float(
            down.weights(top, bottom, mask.shape[0]) @ mask @ across.weights(left, right, mask.shape[1])
        )

    total = mass(0, size[0], 0, size[1])
    if not regions or not total > 0:
        return np.nan
    # Cut along every edge of a box: each cell then lies wholly inside a box or wholly outside all boxes.
    truth = [pixels(region, size) for region in regions]
    tops = sorted({edge for top, bottom, _, _ in truth for edge in (top, bottom)})
    lefts = sorted({edge for _, _, left, right in truth for edge in (left, right)})
    inside = 0.0
    for top, bottom in pairwise(tops):
        for left, right in pairwise(lefts):
            if any(t <= top and bottom <= b and lo <= left and right <= r for t, b, lo, r in truth):
                inside += mass(top, bottom, left, right)
    return min(inside / total, 1.0)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    if sample.region is not None:
        return {
            "energy_in_box": energy_in_region(sample.mask, sample.original_size, sample.box, sample.region)
        }
    return {"energy_in_box": float(energy_in_box(sample.mask[None], *sample.geometry)[0])}

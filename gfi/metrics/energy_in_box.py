"""Energy in box: the share of the mask's mass that lies inside the ground-truth boxes of the class.

The mask is read on the original photograph (`gfi.domain.geometry`): mass outside what the network
saw is zero. Overlapping boxes count once. Higher is better; the share of the *area* inside the boxes
is what an even mask would score.

The photograph-size mask is never drawn: with U_h·m·U_wᵀ, the mass of a rectangle is aᵀ·m·b, where a and
b are the sums of the rectangle's rows of U_h and U_w.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gfi.domain.geometry import Box, axes, pixels
from gfi.metrics.sample import Sample


def energy_in_box(
    masks: NDArray[np.floating],
    original_sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Box],
    regions: Sequence[Sequence[Box]],
) -> NDArray[np.float64]:
    """Shares (N,) in [0, 1]; not-a-number without a ground-truth box, or where the mask has no mass.

    masks: (N, 1, h, w) or (N, h, w) at the input size; original_sizes: (H, W) after EXIF rotation;
    boxes: what the network saw, (left, top, right, bottom) in original pixels; regions: the
    ground-truth boxes of the class for each image, likewise, half-open.
    """
    maps = masks.reshape(len(masks), *masks.shape[-2:])
    rows = zip(maps, original_sizes, boxes, regions, strict=True)
    return np.array([_share(m.astype(np.float64), size, box, truth) for m, size, box, truth in rows])


def _share(mask: NDArray[np.float64], size: tuple[int, int], box: Box, regions: Sequence[Box]) -> float:
    down, across = axes((mask.shape[0], mask.shape[1]), size, box)

    def mass(top: int, bottom: int, left: int, right: int) -> float:
        return float(
            down.weights(top, bottom, mask.shape[0]) @ mask @ across.weights(left, right, mask.shape[1])
        )

    total = mass(0, size[0], 0, size[1])
    if not regions or not total > 0:
        return np.nan
    # Cut at every edge: each cell then is wholly inside a box or wholly outside all of them.
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
    return {"energy_in_box": float(energy_in_box(sample.mask[None], *sample.geometry)[0])}

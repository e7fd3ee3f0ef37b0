"""Where a mask lies on the photograph that it explains.

The network saw `box` = (left, top, right, bottom) of the original photograph (after EXIF orientation), resized to the
input size (h, w). In the other direction, original pixel (x, y) has its centre at x + ½, y + ½ and shows the mask at

    u = (x + ½ − left) · w / (right − left) − ½        (columns; likewise for rows)

interpolated bilinearly and held at the border value beyond the outermost mask pixels. Pixels whose centre lies outside
the box were never seen by the network and get 0. Bilinear interpolation is separable: the mask on the photograph is
U_h · m · U_wᵀ with two taps a row, so one line of the photograph, or the mass inside a rectangle, takes no array of the
photograph's size. A photograph of 100 megapixels needs no more memory than its mask.

numpy only: no torch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[float, float, float, float]
"""(left, top, right, bottom) in original pixels, half-open: pixel (x, y) covers x to x + 1 and y to y + 1."""


@dataclass(frozen=True)
class Axis:
    """The bilinear taps of every original pixel along one axis: value = near·(1−t) + far·t; 0 where not seen."""

    near: NDArray[np.intp]
    far: NDArray[np.intp]
    t: NDArray[np.float64]
    seen: NDArray[np.bool_]

    def weights(self, start: int, stop: int, size: int) -> NDArray[np.float64]:
        """The sum of the taps of original pixels [start, stop) on each of `size` mask pixels: (size,)."""
        span = slice(max(start, 0), max(stop, 0))
        seen = self.seen[span].astype(np.float64)
        near = np.bincount(self.near[span], seen * (1 - self.t[span]), minlength=size)
        far = np.bincount(self.far[span], seen * self.t[span], minlength=size)
        return near.astype(np.float64) + far


def axis(size_in: int, size_out: int, low: float, high: float) -> Axis:
    """The taps of `size_out` original pixels, of which [low, high) show `size_in` mask pixels.

    Raises ValueError for an empty box.
    """
    if not high > low:
        raise ValueError(f"the box is empty: {low} to {high}")
    centres = np.arange(size_out) + 0.5
    u = np.clip((centres - low) * size_in / (high - low) - 0.5, 0, size_in - 1)
    near = np.floor(u).astype(np.intp)
    far = np.minimum(near + 1, size_in - 1)
    return Axis(near, far, u - near, (centres >= low) & (centres < high))


def axes(mask_size: tuple[int, int], original_size: tuple[int, int], box: Rectangle) -> tuple[Axis, Axis]:
    """The taps of rows and of columns; both sizes are (H, W)."""
    left, top, right, bottom = box
    rows = axis(mask_size[0], original_size[0], top, bottom)
    return rows, axis(mask_size[1], original_size[1], left, right)


def stripes(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Rectangle, rows: int = 256
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The mask (h, w) on the photograph, `rows` lines at a time: pairs of the first line and (≤ rows, W) float64."""
    if mask.ndim != 2:
        raise ValueError(f"a mask is (H, W); this one has shape {mask.shape}")
    down, across = axes(mask.shape, original_size, box)
    m = mask.astype(np.float64)
    for first in range(0, original_size[0], rows):
        part = slice(first, first + rows)
        t = down.t[part, None]
        lines = m[down.near[part]] * (1 - t) + m[down.far[part]] * t
        drawn = lines[:, across.near] * (1 - across.t) + lines[:, across.far] * across.t
        drawn[~down.seen[part]] = 0
        drawn[:, ~across.seen] = 0
        yield first, drawn


def place(mask: NDArray[np.floating], original_size: tuple[int, int], box: Rectangle) -> NDArray[np.float32]:
    """The mask (h, w) on a photograph of `original_size` (H, W): (H, W) float32, 0 outside `box`."""
    out = np.zeros(original_size, np.float32)
    for first, lines in stripes(mask, original_size, box):
        out[first : first + len(lines)] = lines
    return out


def pixels(region: Rectangle, original_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), half-open: the pixels whose centre is in the region.

    The region is cut at the photograph's border; one that lies wholly outside gives an empty range.
    """
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in region)
    height, width = original_size
    top, left = min(max(top, 0), height), min(max(left, 0), width)
    return top, max(top, min(bottom, height)), left, max(left, min(right, width))

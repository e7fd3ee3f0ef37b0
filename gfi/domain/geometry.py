"""Where a mask lies on the photograph it explains.

The network saw `box` = (left, top, right, bottom) of the original photograph (after EXIF rotation),
resized to the input size (h, w). Going back, original pixel (x, y) has its centre at x + ½, y + ½ and
shows the mask at

    u = (x + ½ − left) · w / (right − left) − ½        (columns; rows alike)

read bilinearly, held at the border value beyond the outermost mask pixels; pixels whose centre lies
outside the box were never seen and get 0. Bilinear reading is separable: mask on the photograph =
U_h · m · U_wᵀ with two taps a row, so one line of the photograph, or the mass inside a rectangle,
costs no full-size array. A photograph of 100 megapixels needs no more memory than its mask.

numpy only: no torch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Axis:
    """Bilinear taps of every original pixel along one axis: value = near·(1−t) + far·t, 0 if unseen."""

    near: NDArray[np.intp]
    far: NDArray[np.intp]
    t: NDArray[np.float64]
    seen: NDArray[np.bool_]

    def weights(self, start: int, stop: int, size: int) -> NDArray[np.float64]:
        """Σ of the taps of original pixels [start, stop) on each of `size` mask pixels."""
        span = slice(max(start, 0), max(stop, 0))
        seen = self.seen[span].astype(np.float64)
        near = np.bincount(self.near[span], seen * (1 - self.t[span]), minlength=size)
        far = np.bincount(self.far[span], seen * self.t[span], minlength=size)
        return near.astype(np.float64) + far


def axis(size_in: int, size_out: int, low: float, high: float) -> Axis:
    """Taps for `size_out` original pixels of which [low, high) show `size_in` mask pixels."""
    if not high > low:
        raise ValueError(f"the box is empty: {low} to {high}")
    centres = np.arange(size_out) + 0.5
    place = np.clip((centres - low) * size_in / (high - low) - 0.5, 0, size_in - 1)
    near = np.floor(place).astype(np.intp)
    far = np.minimum(near + 1, size_in - 1)
    return Axis(near, far, place - near, (centres >= low) & (centres < high))


def axes(mask_size: tuple[int, int], original_size: tuple[int, int], box: Box) -> tuple[Axis, Axis]:
    """Taps for rows and for columns; sizes are (H, W), box is (left, top, right, bottom)."""
    left, top, right, bottom = box
    rows = axis(mask_size[0], original_size[0], top, bottom)
    return rows, axis(mask_size[1], original_size[1], left, right)


def stripes(
    mask: NDArray[np.floating], original_size: tuple[int, int], box: Box, rows: int = 256
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The mask (h, w) on the photograph, `rows` lines at a time: (first line, (≤rows, W) float64)."""
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


def place(mask: NDArray[np.floating], original_size: tuple[int, int], box: Box) -> NDArray[np.float32]:
    """The mask (h, w) drawn on a photograph of `original_size` (H, W): (H, W) float32, 0 outside `box`."""
    out = np.zeros(original_size, np.float32)
    for first, lines in stripes(mask, original_size, box):
        out[first : first + len(lines)] = lines
    return out


def pixels(region: Box, original_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), half-open: the pixels whose centre is in (left, top, right, bottom).

    Cut at the photograph's border; a region wholly outside comes back empty.
    """
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in region)
    height, width = original_size
    top, left = min(max(top, 0), height), min(max(left, 0), width)
    return top, max(top, min(bottom, height)), left, max(left, min(right, width))

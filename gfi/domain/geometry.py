"""Geometry: how a photograph is fitted to the input, a mask drawn at the input size, and placed on the photograph.

    photograph (H, W) ── fit ──► input (h, w) ── the optimiser ──► grid ── draw ──► mask (h, w) ── place ──► photograph

All code that measures or shows a mask uses these functions, so that the results agree to the pixel. The rules:

- A size is (height, width), a rectangle (left, top, right, bottom). Pixel (x, y) has its centre at x + ½, y + ½, and
  lies in a rectangle if its centre does: left ≤ x + ½ < right. That holds for what the network saw (`seen`) and for
  ground-truth boxes (`pixels`).
- `scaled` converts a rectangle from one size of a picture to another, each axis separately, because a reduced picture
  keeps its proportions only up to rounding.
- `fitted` is the only rule for the size of a reduced picture: sides are rounded half up and have at least one pixel.
- Interpolation is bilinear and holds the border value beyond the outermost pixels.
- Numbers are computed from the unchanged mask (`stripes`). In a mask that is shown (`place`) NaN and −∞ become 0 and +∞
  becomes 1, so that a bad value does not spread to its neighbours; `gfi.report.overlays.grey` then clips to [0, 1].

The network saw `box` of the photograph (after EXIF orientation), resized to the input size. In the other direction,
original pixel (x, y) shows the mask at

    u = (x + ½ − left) · w / (right − left) − ½        (columns; likewise for rows)

Pixels outside the box were never seen by the network and get 0. Bilinear interpolation is separable: the mask on the
photograph is U_h · m · U_wᵀ with two taps per row, so neither a line of the photograph nor the mass inside a rectangle
needs an array of the photograph's size. A photograph of 100 megapixels needs no more memory than its mask.

numpy only: no torch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) in pixels."""
Rectangle = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels, half-open: pixel (x, y) covers x to x + 1 and y to y + 1."""


def whole(size: Size) -> Rectangle:
    """The rectangle that covers a whole picture."""
    return 0.0, 0.0, float(size[1]), float(size[0])


def scaled(box: Rectangle, size: Size, to: Size) -> Rectangle:
    """Converts a rectangle of a picture of `size` to the same picture at the size `to`.

    >>> scaled((0, 0, 5, 4), (4, 10), (2, 20))
    (0.0, 0.0, 10.0, 2.0)
    """
    (height, width), (down, across) = size, to
    left, top, right, bottom = box
    return left * across / width, top * down / height, right * across / width, bottom * down / height


def fitted(size: Size, longest: int, enlarge: bool = False) -> Size:
    """The size at which the longer side has `longest` pixels. A smaller picture keeps its size unless `enlarge`.

    >>> fitted((5, 2), 2), fitted((2, 5), 90), fitted((2, 5), 90, enlarge=True)
    ((2, 1), (2, 5), (36, 90))
    """
    most = max(size)
    if most <= longest and not enlarge:
        return size
    height, width = (max(1, (2 * side * longest + most) // (2 * most)) for side in size)
    return height, width


class Fit(NamedTuple):
    """How a photograph is fitted to the input: resized, then cropped from `corner`."""

    resized: Size
    corner: tuple[int, int]
    """(top, left) of the crop, in pixels of the resized photograph."""
    box: Rectangle
    """The rectangle of the photograph that remains, in original pixels."""


def fit(
    size: Size, input_size: Size, resize: int | tuple[int, int] | None = None, as_transformers: bool = False
) -> Fit:
    """The centre crop of a photograph of `size` that fills the input.

    The photograph is resized to the smallest size of its proportions that covers the input: on a square input, the
    shorter side has the input size, or `resize` pixels. The longer side is rounded down and the corner to the nearest
    even number at a half, as in torchvision. A `resize` of (H, W) is the size itself, whatever the proportions.
    as_transformers: the shorter side has `resize` pixels on every input, and the corner is rounded down.

    >>> fit((120, 200), (32, 32))
    Fit(resized=(32, 53), corner=(0, 10), box=(37.735849056603776, 0.0, 158.49056603773585, 120.0))
    >>> fit((120, 200), (31, 20), 32, as_transformers=True)
    Fit(resized=(32, 53), corner=(0, 16), box=(60.37735849056604, 0.0, 135.8490566037736, 116.25))
    """
    if isinstance(resize, tuple):
        high, wide = resize
    elif as_transformers and resize is not None:
        high, wide = (side * resize // min(size) for side in size)
    else:
        grow = Fraction(resize or min(input_size), min(input_size))
        zoom = max(least * grow / side for side, least in zip(size, input_size, strict=True))
        high, wide = (max(int(side * zoom), least) for side, least in zip(size, input_size, strict=True))
    margins = (high - input_size[0], wide - input_size[1])
    top, left = (margin // 2 if as_transformers else round(margin / 2) for margin in margins)
    crop = (float(left), float(top), float(left + input_size[1]), float(top + input_size[0]))
    return Fit((high, wide), (top, left), scaled(crop, (high, wide), size))


def _taps(
    position: NDArray[np.floating], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """The two pixels around each position and the share of the second; the border value is held beyond the border."""
    u = np.clip(position, 0, size - 1)
    near = np.floor(u).astype(np.intp)
    return near, np.minimum(near + 1, size - 1), u - near


@lru_cache(maxsize=64)
def matrix(size_in: int, size_out: int, align_corners: bool) -> NDArray[np.float64]:
    """U of shape (size_out, size_in): row o holds the weights of all inputs in output o.

    Equals `torch.nn.functional.interpolate(mode="bilinear")` along one axis. The optimiser multiplies by this matrix,
    and so does `draw`: both see the same mask. On CUDA there is a second reason: the backward pass of torch's own
    interpolation is not deterministic there, that of a matrix product is. Rows sum to 1, so scaling a grid and then
    drawing it gives the same as drawing it and then scaling. The array is cached, and therefore read-only.

    >>> matrix(2, 4, align_corners=False)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    if size_in < 1 or size_out < 1:
        raise ValueError(f"sizes are positive, not {size_in} and {size_out}")
    out = np.arange(size_out, dtype=np.float64)
    if align_corners:
        position = out * (size_in - 1) / (size_out - 1) if size_out > 1 else np.zeros(1)
    else:
        position = (out + 0.5) * size_in / size_out - 0.5
    near, far, t = _taps(position, size_in)
    weights = np.zeros((size_out, size_in))
    rows = np.arange(size_out)
    np.add.at(weights, (rows, near), 1.0 - t)
    np.add.at(weights, (rows, far), t)
    weights.setflags(write=False)
    return weights


def draw(grid: NDArray[np.floating], size: Size, align_corners: bool) -> NDArray[np.float32]:
    """The mask at the size of the input: U_h · m · U_wᵀ.

    Parameters
    ----------
    grid
        (h, w), already scaled to [0, 1]: `Explanation.grid`.
    size
        (H, W) of the input in pixels.
    align_corners
        As in the recipe that made the grid.

    Returns
    -------
    ndarray
        (H, W) float32. Computed in float64 and rounded once, it equals the optimiser's mask to 1e-6.

    Examples
    --------
    >>> draw(np.array([[0.0, 1.0]]), (1, 4), align_corners=False)
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    (h, w), (height, width) = grid.shape, size
    rows, columns = matrix(h, height, align_corners), matrix(w, width, align_corners)
    return (rows @ grid.astype(np.float64) @ columns.T).astype(np.float32)


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
    near, far, t = _taps((centres - low) * size_in / (high - low) - 0.5, size_in)
    return Axis(near, far, t, (centres >= low) & (centres < high))


def axes(mask_size: Size, original_size: Size, box: Rectangle) -> tuple[Axis, Axis]:
    """The taps of rows and of columns."""
    left, top, right, bottom = box
    rows = axis(mask_size[0], original_size[0], top, bottom)
    return rows, axis(mask_size[1], original_size[1], left, right)


def seen(size: Size, box: Rectangle) -> NDArray[np.bool_]:
    """(H, W), true on the pixels of a photograph of `size` that the network saw through `box`."""
    rows, columns = axes((1, 1), size, box)
    return rows.seen[:, None] & columns.seen


def stripes(
    mask: NDArray[np.floating], original_size: Size, box: Rectangle, rows: int = 256
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The mask (h, w) on the photograph, `rows` lines at a time: pairs of the first line and (≤ rows, W) float64.

    Values that are not finite are kept; pixels interpolated from them are not finite either.
    """
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


def place(mask: NDArray[np.floating], original_size: Size, box: Rectangle) -> NDArray[np.float32]:
    """The mask (h, w) on a photograph of `original_size`, to be shown: (H, W) float32, 0 outside `box`.

    box: what the network saw, in pixels of that photograph. Not-a-number and −∞ become 0, +∞ becomes 1.
    """
    shown = np.nan_to_num(mask, nan=0.0, posinf=1.0, neginf=0.0)
    out = np.zeros(original_size, np.float32)
    for first, lines in stripes(shown, original_size, box):
        out[first : first + len(lines)] = lines
    return out


def pixels(region: Rectangle, original_size: Size) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), half-open: the pixels whose centre is in the region.

    The region is cut at the photograph's border; one that lies wholly outside gives an empty range.
    """
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in region)
    height, width = original_size
    top, left = min(max(top, 0), height), min(max(left, 0), width)
    return top, max(top, min(bottom, height)), left, max(left, min(right, width))

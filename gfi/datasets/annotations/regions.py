"""Regions: the pixels of an object, as an outline beside its box.

An outline is stored as JSON text, in one of three forms:

- polygons, [[x, y, x, y, …], …], in the unit of the box: even-odd within a polygon, together their union;
- run lengths as COCO writes them, {"size": [H, W], "counts": [off, on, off, …]}, down the columns; `counts` may be the
  compressed text;
- a mask image, {"mask": key, "version": …}: every pixel that is not zero. `settle_boxes` reads it.

A pixel belongs to a region if its centre does, as for boxes. `bitmap` draws what `settle_boxes` has settled.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfi.datasets.errors import DatasetError
from gfi.domain.geometry import pixels

Bitmap = NDArray[np.bool_]
"""(H, W)."""
MOST_PIXELS = 2**27
"""Of a mask."""
_MASKS = ("PNG", "TIFF", "GIF", "BMP", "PPM", "JPEG", "WEBP")
"""Formats of masks. Pillow would try all it knows, and runs Ghostscript for EPS."""
_DECIMALS = 2
_FARTHEST = 1e9
"""A coordinate, as for the sides of a box."""
# The orientations that swap the sides of a picture.
_TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def polygons_text(polygons: Sequence[Sequence[tuple[float, float]]]) -> str:
    """The outline of these polygons, each of points (x, y)."""
    rounded = [[round(side, _DECIMALS + 4) for point in polygon for side in point] for polygon in polygons]
    return json.dumps(rounded, separators=(",", ":"))


def run_lengths_text(value: Mapping[str, Any]) -> str:
    """The outline of COCO's run lengths. DatasetError if they are none."""
    return _run_lengths(_from_run_lengths(value))


def points_of(outline: str) -> list[list[tuple[float, float]]] | None:
    """The points of polygons; None for another outline."""
    value = json.loads(outline)
    if not isinstance(value, list):
        return None
    return [list(zip(flat[::2], flat[1::2], strict=True)) for flat in value]


def check_polygons(polygons: Sequence[Sequence[tuple[float, float]]]) -> None:
    """DatasetError unless each of these polygons can be drawn: three points or more, of finite coordinates."""
    for polygon in polygons:
        if len(polygon) < 3:
            raise DatasetError("a polygon of its region has fewer than three points")
        if not all(abs(side) < _FARTHEST for point in polygon for side in point):  # NaN fails too
            raise DatasetError("a point of its region is not two numbers below a thousand million")


def moved(outline: str, by: float) -> str:
    """Polygons whose points are pixels, moved to the centres of these pixels."""
    points = points_of(outline)
    return (
        outline if points is None else polygons_text([[(x + by, y + by) for x, y in one] for one in points])
    )


def mask_of(outline: str) -> tuple[str, str | None] | None:
    """(key, version) of a mask image that is still to be read; None for another outline."""
    value = json.loads(outline)
    return (value["mask"], value.get("version")) if isinstance(value, dict) and "mask" in value else None


def read_mask(data: bytes) -> Bitmap:
    """The pixels of a mask image that are not zero. DatasetError if it cannot be read."""
    try:
        with Image.open(io.BytesIO(data), formats=_MASKS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DatasetError(f"the mask has {image.width}×{image.height} pixels, too many")
            read = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"the mask cannot be read: {error}") from None
    if read.ndim == 3 and read.shape[2] in (2, 4):  # what is transparent is outside
        return np.asarray(read[..., :-1].any(2) & (read[..., -1] > 0))
    return np.asarray(read != 0 if read.ndim == 2 else read.any(2))


def upright(mask: Bitmap, size: tuple[int, int], orientation: int) -> Bitmap:
    """A mask at the size (H, W) of the upright photograph. orientation: by EXIF, of the photograph as it is stored.

    DatasetError: it is of a picture of another shape.
    """
    if mask.shape == size:
        return mask
    if mask.shape == size[::-1] and orientation in _TURNS:
        return np.asarray(Image.fromarray(mask.astype(np.uint8)).transpose(_TURNS[orientation])) != 0
    height, width = mask.shape
    scale = size[0] / height
    if abs(width * scale - size[1]) > 1 + scale:
        raise DatasetError(
            f"its region is a mask of {width}×{height} pixels, and the photograph has {size[1]}×{size[0]}"
        )
    drawn = Image.fromarray(mask.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST)
    return np.asarray(drawn) != 0


def settled(mask: Bitmap) -> tuple[str, tuple[int, int, int, int]]:
    """The outline of a mask at the size of the photograph, and the box around it. DatasetError if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise DatasetError("its region is a mask without a pixel")
    sides = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return _run_lengths(mask), sides


def bitmap(outline: str, size: tuple[int, int]) -> Bitmap:
    """The pixels of an outline in pixels of the photograph, (H, W)."""
    value = json.loads(outline)
    if isinstance(value, dict):
        return _from_run_lengths(value)
    drawn = np.zeros(size, np.bool_)
    for flat in value:
        _add_polygon(drawn, np.asarray(flat, np.float64).reshape(-1, 2))
    return drawn


def _add_polygon(drawn: Bitmap, points: NDArray[np.float64]) -> None:
    """Adds the pixels whose centre lies inside by the even-odd rule. Only the rectangle around the polygon is drawn."""
    top, bottom, left, right = pixels((*points.min(0), *points.max(0)), drawn.shape)
    crossed = np.zeros((bottom - top, right - left + 1), np.uint8)
    for (x0, y0), (x1, y1) in pairwise([*points, points[0]]):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        rows = np.arange(max(top, math.ceil(y0 - 0.5)), min(bottom, math.ceil(y1 - 0.5)))
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            columns = np.clip(np.ceil(x - 0.5), left, right).astype(np.int64)
            crossed[rows - top, columns - left] ^= 1
    inside = np.bitwise_xor.accumulate(crossed, axis=1)[:, :-1] != 0
    drawn[top:bottom, left:right] |= inside


def _run_lengths(mask: Bitmap) -> str:
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *edges.tolist(), len(flat)]).tolist()
    counts = [0, *counts] if len(flat) and flat[0] else counts
    return json.dumps({"size": list(mask.shape), "counts": counts}, separators=(",", ":"))


def _from_run_lengths(value: Mapping[str, Any]) -> Bitmap:
    size, counts = value.get("size"), value.get("counts")
    try:
        height, width = (int(side) for side in size or ())
        runs = np.asarray(_counts(counts) if isinstance(counts, str) else counts, np.int64)
    except (TypeError, ValueError, OverflowError):
        raise DatasetError('run lengths are {"size": [height, width], "counts": […]}') from None
    if not (0 < height * width <= MOST_PIXELS and height > 0):
        raise DatasetError(f"run lengths of {width}×{height} pixels")
    # Each run is compared first: a sum of large ones would come round to the right number.
    most = height * width
    if (
        runs.ndim != 1
        or (runs < 0).any()
        or (runs > most).any()
        or len(runs) > most + 1
        or runs.sum() != most
    ):
        raise DatasetError(f"the run lengths do not fill {width}×{height} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape((height, width), order="F")


def _counts(text: str) -> list[int]:
    """COCO's compressed run lengths: numbers of six-bit digits, from the third on as the difference to the one before
    the last."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        number = shift = 0
        while True:
            if at >= len(text):
                raise ValueError("cut off")
            digit = ord(text[at]) - 48
            if not 0 <= digit < 64:
                raise ValueError("no digit")
            number |= (digit & 31) << shift
            shift, at = shift + 5, at + 1
            if not digit & 32:
                if digit & 16:
                    number -= 1 << shift
                break
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    return counts

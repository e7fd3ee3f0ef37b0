"""Pictures drawn on demand from a part and a photograph, and the few that were drawn lately.

A mask is drawn at any size from its grid, so nothing but the part is stored; what has been drawn is kept in
memory up to a number of bytes, under a key that names part, row, size and colours: a retry that replaces the
result replaces the picture.
"""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

from report.pictures import Picture, colour, fit_mask, grey, jpeg, overlay, png, shrink
from store.parts import PartRow

Mask = NDArray[np.float32]


class Pictures:
    """The bytes of pictures drawn lately, at most `limit` bytes together. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """What is kept under `key`, or what `draw` makes, which is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = draw()
        with self._lock:
            if key not in self._kept and len(data) <= self._limit // 4:
                self._kept[key] = data
                self._size += len(data)
                while self._size > self._limit:
                    self._size -= len(self._kept.popitem(last=False)[1])
        return data


def on_photograph(row: PartRow, mask: Mask, longest: int) -> tuple[Mask, NDArray[np.bool_]]:
    """The mask where the network looked, on a canvas of the photograph's shape with `longest` pixels at most,
    and which pixels the network saw at all.
    """
    if row.original_size is None or row.box is None:
        return mask, np.ones(mask.shape, bool)
    height, width = row.original_size
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    sx, sy = size[1] / width, size[0] / height
    left, top, right, bottom = row.box
    box = (left * sx, top * sy, right * sx, bottom * sy)
    drawn = fit_mask(mask, size, box)
    ys, xs = np.mgrid[0 : size[0], 0 : size[1]]
    seen = (xs + 0.5 > box[0]) & (xs + 0.5 < box[2]) & (ys + 0.5 > box[1]) & (ys + 0.5 < box[3])
    return drawn, seen


def at_size(mask: Mask, longest: int) -> Mask:
    """The mask alone, its longer side `longest` pixels."""
    height, width = mask.shape
    scale = longest / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return fit_mask(mask, size, (0, 0, size[1], size[0]))


def mask_png(row: PartRow, mask: Mask, *, size: int, map: str, photograph: bool) -> bytes:
    """The mask as PNG. map: grey, or a colour map. photograph: in the photograph's frame, clear where the
    network never looked; else as the network's input saw it.
    """
    drawn, seen = on_photograph(row, mask, size) if photograph else (at_size(mask, size), None)
    pixels = grey(drawn) if map == "grey" else colour(drawn, map)
    if seen is None:
        return png(pixels)
    alpha = np.where(seen, np.uint8(255), np.uint8(0))
    return png(np.dstack([pixels, alpha]))


def overlay_png(photo: Picture, row: PartRow, mask: Mask, *, size: int, map: str, opacity: float) -> bytes:
    """The coloured mask over the photograph; the photograph alone where the network never looked."""
    small = shrink(photo, size)
    height, width = small.shape[:2]
    drawn, seen = on_photograph(row, mask, max(height, width))
    if drawn.shape != (height, width):  # a photograph that decode() shrank, or rounding
        drawn = fit_mask(drawn, (height, width), (0, 0, width, height))
        seen = np.ones((height, width), bool)
    mixed = overlay(small, drawn, opacity, map)
    return png(np.where(seen[..., None], mixed, small))


def photo_jpeg(photo: Picture, *, size: int) -> bytes:
    """The photograph as JPEG, its longer side at most `size` pixels."""
    return jpeg(shrink(photo, size))


def mask_npy(mask: Mask) -> bytes:
    """The mask (H, W) float32 at the network's input size, as a .npy file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(mask, np.float32), allow_pickle=False)
    return out.getvalue()

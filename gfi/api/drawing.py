"""Pictures drawn on demand from a part and a photograph, and the few that were drawn lately.

A mask is drawn at any size from its grid, so nothing but the part is stored; what has been drawn is kept in
memory up to a number of bytes, under a key that names part, row, size and colours: a retry that replaces the
result replaces the picture.

A few photographs are decoded at a time, whoever asks: one of 8192² pixels takes a gigabyte while it is, and forty
threads would have forty. And the C library is told to give large blocks back: eight callers at once, each with
36 million pixels, took 1.8 GB and left 0.8 GB behind in threads' arenas; now they take 0.5 GB and leave nothing.
"""

import contextlib
import ctypes
import io
import os
import threading
from collections.abc import Callable, Hashable

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from gfi.datasets.decode import DEFAULT, Limits, decode
from gfi.report.overlays import Picture, colour, fit_mask, grey, jpeg, overlay, png, shrink
from gfi.store.parts import PartRow

Mask = NDArray[np.float32]
AT_ONCE = max(2, min(4, os.cpu_count() or 2))
_decoders = threading.BoundedSemaphore(AT_ONCE)


class Pictures:
    """The bytes of the pictures drawn last, at most `limit` bytes together. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._kept: LRUCache[Hashable, bytes] = LRUCache(limit, getsizeof=len)
        self._lock = threading.Lock()

    def get(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """What is kept under `key`, or what `draw` makes, which is kept."""
        with self._lock:
            if key in self._kept:
                return self._kept[key]
        data = draw()
        with self._lock:
            if len(data) <= self._kept.maxsize // 4:
                self._kept[key] = data
        return data


_M_MMAP_THRESHOLD = -3


def give_back_large_blocks() -> None:
    """Have every block of a megabyte or more mapped by itself and so returned when it is freed. glibc alone."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)


def photograph(data: bytes, longest: int) -> Picture:
    """The photograph in `data`, its longer side at most `longest` pixels. DecodeError when there is none."""
    with _decoders:
        return shrink(decode(data).rgb, longest)


def kind_of(data: bytes, limits: Limits = DEFAULT) -> str:
    """Pillow's name of the format, once the whole photograph was decoded. DecodeError when it cannot be."""
    with _decoders:
        return decode(data, limits).format


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
    """The coloured mask over the photograph, which is `size` at most; the photograph alone where the network never
    looked.
    """
    small = shrink(photo, size)
    height, width = small.shape[:2]
    drawn, seen = on_photograph(row, mask, max(height, width))
    if drawn.shape != (height, width):  # a photograph that decode() shrank, or rounding
        drawn = fit_mask(drawn, (height, width), (0, 0, width, height))
        seen = np.ones((height, width), bool)
    mixed = overlay(small, drawn, opacity, map)
    return png(np.where(seen[..., None], mixed, small))


def photo_jpeg(data: bytes, *, size: int) -> bytes:
    """The photograph in `data` as JPEG, its longer side at most `size` pixels."""
    return jpeg(photograph(data, size))


def mask_npy(mask: Mask) -> bytes:
    """The mask (H, W) float32 at the network's input size, as a .npy file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(mask, np.float32), allow_pickle=False)
    return out.getvalue()

"""Pictures drawn on demand from a part and a photograph, and a cache of those drawn last.

A mask is drawn at any size from its grid, so that only the part is stored. Drawn pictures are kept in memory up to a
number of bytes. Their key names part, row, size and colours, so that a retry that replaces a result replaces its
pictures too.

Only a few photographs are decoded at a time: decoding one 8192×8192 photograph takes about 1 GB, and forty threads
would need 40 GB. The C library is told to return large blocks to the system: eight requests at once, each for a
photograph of 36 million pixels, took 1.8 GB and left 0.8 GB in the threads' arenas; now they take 0.5 GB, leaving none.
"""

import contextlib
import ctypes
import io
import os
import threading
from collections.abc import Callable, Hashable
from typing import Literal

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from gfi.datasets.decode import DEFAULT, Limits, decode
from gfi.domain.result import Result
from gfi.domain.window import Window
from gfi.report.overlays import Picture, colour, fit_mask, grey, jpeg, overlay, png, shrink

Mask = NDArray[np.float32]
Frame = Literal["photograph", "input"]
AT_ONCE = max(2, min(4, os.cpu_count() or 2))
"""Photographs decoded at a time, in this process."""
_decoders = threading.BoundedSemaphore(AT_ONCE)


class Pictures:
    """The bytes of the pictures drawn last, at most `limit` bytes together. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._kept: LRUCache[Hashable, bytes] = LRUCache(limit, getsizeof=len)
        self._lock = threading.Lock()

    def get(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """The picture kept under `key`; else the one that `draw` makes, which is then kept."""
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
    """Map every block of 1 MiB or more on its own, so that it is returned to the system when freed. glibc only."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)


def photograph(data: bytes, longest: int, window: Window | None = None) -> Picture:
    """The photograph in `data` as (H, W, 3) uint8, its longer side at most `longest` pixels. Raises DecodeError."""
    with _decoders:
        return shrink(decode(data, window=window).rgb, longest)


def kind_of(data: bytes, limits: Limits = DEFAULT, window: Window | None = None) -> str:
    """Decode the whole photograph and return Pillow's name of its format. Raises DecodeError."""
    with _decoders:
        return decode(data, limits, window).format


def on_photograph(row: Result, mask: Mask, longest: int) -> tuple[Mask, NDArray[np.bool_]]:
    """(mask, seen), both (H, W) in the photograph's shape, the longer side at most `longest` pixels.

    The mask is placed where the network's input was cut from the photograph; `seen` is true inside that box.
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
    """The mask as the network's input has it, its longer side `longest` pixels."""
    height, width = mask.shape
    scale = longest / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return fit_mask(mask, size, (0, 0, size[1], size[0]))


def mask_png(row: Result, mask: Mask, *, size: int, colour_map: str, frame: Frame) -> bytes:
    """The mask as PNG, its longer side `size` pixels at most. colour_map: grey, viridis, magma or jet.

    frame: `photograph` draws it in the photograph's shape, transparent outside the network's input; `input` draws the
    network's input alone.
    """
    drawn, seen = on_photograph(row, mask, size) if frame == "photograph" else (at_size(mask, size), None)
    pixels = grey(drawn) if colour_map == "grey" else colour(drawn, colour_map)
    if seen is None:
        return png(pixels)
    alpha = np.where(seen, np.uint8(255), np.uint8(0))
    return png(np.dstack([pixels, alpha]))


def overlay_png(
    photo: Picture, row: Result, mask: Mask, *, size: int, colour_map: str, opacity: float
) -> bytes:
    """The coloured mask over the photograph as PNG, its longer side `size` pixels at most.

    Outside the network's input the photograph is shown without colour. opacity: in [0, 1].
    """
    small = shrink(photo, size)
    height, width = small.shape[:2]
    drawn, seen = on_photograph(row, mask, max(height, width))
    if drawn.shape != (height, width):  # decode() shrank the photograph, or rounding
        drawn = fit_mask(drawn, (height, width), (0, 0, width, height))
        seen = np.ones((height, width), bool)
    mixed = overlay(small, drawn, opacity, colour_map)
    return png(np.where(seen[..., None], mixed, small))


def photo_jpeg(data: bytes, *, size: int) -> bytes:
    """The photograph in `data` as JPEG, its longer side at most `size` pixels."""
    return jpeg(photograph(data, size))


def mask_npy(mask: Mask) -> bytes:
    """The mask (H, W) float32 at the network's input size, as a .npy file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(mask, np.float32), allow_pickle=False)
    return out.getvalue()

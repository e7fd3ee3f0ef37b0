"""Pictures drawn on demand from a part and a photograph, and a cache of those drawn last.

A mask is drawn at any size from its grid, so that only the part is stored. Drawn pictures are kept in memory up to a
number of bytes. Their key names part, row, size and colours, so that a retry that replaces a result replaces its
pictures too.

Only a few photographs are decoded at the same time: decoding one 8192×8192 photograph takes about 1 GB, and forty
threads would need 40 GB. The C library is told to return large blocks to the system: eight requests at once, each for a
photograph of 36 million pixels, took 1.8 GB and left 0.8 GB in the threads' arenas; now they take 0.5 GB, leaving none.
"""

import contextlib
import ctypes
import io
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any, Literal

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from gfi.datasets.decode import DEFAULT, Limits, decode_for
from gfi.domain.geometry import Size, fitted, place, seen, whole
from gfi.domain.preprocess import Preprocess
from gfi.domain.result import Result
from gfi.report.overlays import Picture, colour, grey, jpeg, overlay, png, shrink

Mask = NDArray[np.float32]
Frame = Literal["photograph", "input"]
AT_ONCE = max(2, min(4, os.cpu_count() or 2))
"""The number of photographs that this process decodes at the same time."""
_decoders = threading.BoundedSemaphore(AT_ONCE)


class Pictures:
    """A cache of the pictures drawn last, at most `limit` bytes together. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._kept: LRUCache[Hashable, bytes] = LRUCache(limit, getsizeof=len)
        self._lock = threading.Lock()

    def get(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """The picture stored under `key`; if there is none, the one that `draw` makes, which is then stored."""
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


def photograph(data: bytes, longest: int, preprocess: Preprocess | None = None) -> Picture:
    """The photograph in `data` as (H, W, 3) uint8, its longer side at most `longest` pixels. Raises DecodeError.

    preprocess: the input of the network that explains it.
    """
    with _decoders:
        return shrink(decode_for(data, preprocess).rgb, longest)


def kind_of(data: bytes, preprocess: Preprocess | None, limits: Limits = DEFAULT) -> str:
    """Decode the whole photograph for a network and return Pillow's name of its format. Raises DecodeError."""
    with _decoders:
        return decode_for(data, preprocess, limits).format


def mask_png(
    result: Result, mask: Mask, *, size: int, colour_map: str, frame: Frame, threshold: float = 0.0
) -> bytes:
    """The mask as PNG, its longer side `size` pixels at most. colour_map: grey, viridis, magma or jet.

    result: as its part holds it. frame: `photograph` draws the mask in the photograph's shape, transparent outside the
    network's input; `input` draws the network's input alone. threshold: transparent where the mask is below it, in the
    photograph's frame.
    """
    if frame == "input":
        drawn_at = fitted(_size(mask), size, enlarge=True)
        return png(_coloured(place(mask, drawn_at, whole(drawn_at)), colour_map))
    drawn_at = fitted(result.original_size or _size(mask), size)
    box = result.box_at(drawn_at)
    placed = place(mask, drawn_at, box)
    alpha = np.where(seen(drawn_at, box) & (placed >= threshold), np.uint8(255), np.uint8(0))
    return png(np.dstack([_coloured(placed, colour_map), alpha]))


def _coloured(mask: Mask, colour_map: str) -> Picture:
    return grey(mask) if colour_map == "grey" else colour(mask, colour_map)


def _size(picture: NDArray[Any]) -> Size:
    return picture.shape[0], picture.shape[1]


def overlay_png(
    photo: Picture, result: Result, mask: Mask, *, size: int, colour_map: str, opacity: float
) -> bytes:
    """The coloured mask over the photograph as PNG, its longer side `size` pixels at most.

    result: as its part holds it. opacity: in [0, 1].
    Outside the network's input the photograph is shown without colour.
    """
    small = shrink(photo, size)
    drawn_at = _size(small)
    box = result.box_at(drawn_at)
    mixed = overlay(small, place(mask, drawn_at, box), opacity, colour_map)
    return png(np.where(seen(drawn_at, box)[..., None], mixed, small))


def photo_jpeg(data: bytes, *, size: int) -> bytes:
    """The photograph in `data` as JPEG, its longer side at most `size` pixels."""
    return jpeg(photograph(data, size))


def mask_npy(mask: Mask) -> bytes:
    """The mask (H, W) float32 at the network's input size, as a .npy file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(mask, np.float32), allow_pickle=False)
    return out.getvalue()

"""Arrays in `.npy` files, and images with other than one or three channels: `.npy`, or a TIFF of a page for each.

An array is (H, W), or (H, W, C) or (C, H, W) with 1 to 64 channels: the channels are the last axis unless the first is
shorter. Bytes are read as 0 … 255, whatever the window; of other values `input.window` of the model file says which are
black and white. Each page of a TIFF is treated as the page of a photograph is: white as zero is inverted, signed bytes
are refused.
No array is unpickled, and its header is compared with the length of the file before memory is used for it.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from gfi.datasets.depth import requested, stretched
from gfi.datasets.errors import DecodeError
from gfi.datasets.tiff import is_upright, refuse_large_tiles, refuse_signed, white_is_zero
from gfi.domain.preprocess import MOST_CHANNELS
from gfi.domain.window import AppliedWindow, Window

_GREY_MODES = ("L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_EIGHT_BITS = AppliedWindow(0, 255, "8 bits")


@dataclass(frozen=True)
class Planes:
    """values: float32 (H, W, C) in [0, 1]; black is 0 and white 1. window: what became black and white; None: of
    bytes."""

    values: NDArray[np.float32]
    window: AppliedWindow | None

    def picture(self, shown: tuple[int, ...] | None = None) -> Image.Image:
        """What people are shown: these channels, counted from 1, as red, green and blue, or one as grey. None: the
        first three, or the first where there are fewer."""
        chosen = shown or ((1, 2, 3) if self.values.shape[2] >= 3 else (1,))
        values = self.values[..., [number - 1 for number in chosen]]
        return Image.fromarray(
            stretched(values[..., 0] if len(chosen) == 1 else values, AppliedWindow(0, 1, ""))
        )


def read_npy(data: bytes, most_values: int, window: Window | None) -> Planes:
    """The array of a `.npy` file. Raises DecodeError, or ValueError for a broken header.

    most_values: of all channels together.
    """
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise DecodeError(f"a .npy file of version {version[0]}.{version[1]}; save it with numpy.save")
    shape, by_columns, kind = readers[version](stream)
    if kind.kind not in "uif" or kind.itemsize > 8:
        raise DecodeError(
            f"an array of {kind}; save it as whole or floating-point numbers of at most 64 bits"
        )
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or not all(shape) or min(shape[0], shape[2]) > MOST_CHANNELS:
        raise DecodeError(
            f"an array of {'×'.join(map(str, shape))}; an image is (H, W), (H, W, C) or (C, H, W) with at most "
            f"{MOST_CHANNELS} channels"
        )
    count = shape[0] * shape[1] * shape[2]
    if count > most_values:
        raise DecodeError(f"{count:,} values; the limit for this kind of file is {most_values:,}")
    if len(data) - stream.tell() != count * kind.itemsize:
        raise DecodeError(
            f"its header says {count * kind.itemsize:,} bytes and {len(data) - stream.tell():,} follow"
        )
    values = np.frombuffer(data, kind, offset=stream.tell()).reshape(shape, order="F" if by_columns else "C")
    return _scaled(values.transpose(1, 2, 0) if shape[0] < shape[2] else values, window)


def read_pages(image: Image.Image, channels: int, most_values: int, window: Window | None) -> Planes:
    """The grey pages of an opened TIFF as channels. Raises DecodeError, or what Pillow raises."""
    size = image.size
    if size[0] * size[1] * channels > most_values:
        raise DecodeError(
            f"{size[0]}×{size[1]} pixels of {channels} pages; the limit is {most_values:,} values"
        )
    pages: list[NDArray[np.integer] | NDArray[np.floating]] = []
    inverted: list[int] = []
    kind = image.mode
    for number in range(channels):
        try:
            image.seek(number)
        except EOFError:
            raise DecodeError(f"it has {number} pages; the model takes {channels} channels") from None
        refuse_large_tiles(image, most_values)
        if not is_upright(image):
            raise DecodeError("a TIFF of several channels is not turned; save it upright")
        if image.mode not in _GREY_MODES or image.size != size:
            raise DecodeError(
                f"page {number + 1} is {image.size[0]}×{image.size[1]} of kind {image.mode}; the model takes "
                f"{channels} channels, each a grey page of {size[0]}×{size[1]}"
            )
        if image.mode != kind:  # one window would be for one of them alone
            raise DecodeError(f"page {number + 1} is of kind {image.mode} and page 1 of kind {kind}")
        if image.mode == "L":
            refuse_signed(image)
        elif white_is_zero(image):
            inverted.append(number)
        pages.append(np.asarray(image))
    try:
        image.seek(channels)
    except EOFError:
        planes = _scaled(np.stack(pages, 2), window)
        planes.values[..., inverted] = 1 - planes.values[..., inverted]
        return planes
    raise DecodeError(f"it has more than {channels} pages; the model takes {channels} channels")


def _scaled(values: NDArray[np.integer] | NDArray[np.floating], window: Window | None) -> Planes:
    if window is None and values.dtype != np.uint8:
        raise DecodeError(
            f"values of {values.dtype} have no standard white; state their range, for example "
            "`input.window = [0, 1]` in the model file"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DecodeError("some values are not numbers (NaN) or not finite")
    stated = None if window is None or values.dtype == np.uint8 else requested(window, values)
    applied = stated or _EIGHT_BITS
    width = applied.high - applied.low or 1.0
    scaled: NDArray[np.float64] = (values - np.float64(applied.low)) / width
    return Planes(np.ascontiguousarray(np.clip(scaled, 0, 1), np.float32), stated)

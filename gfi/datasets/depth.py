"""Converts samples of more than 8 bits to 8 bits.

The value of white is that of the given window, else that of the file: its maxval (PPM), BitsPerSample, SMaxSampleValue
or MaxSampleValue (TIFF; rounded up to whole bits), sBIT (PNG), else 65535. Cameras and scanners store 10, 12 or 14 bits
in 16 without recording that; divided by 257 such pictures would be nearly black. A file that uses less than a quarter
of its range and does not record its depth is therefore refused, with advice. A maxval of 65535 is
ignored, because programs write it for any data in 16 bits. Opacity is scaled in the same way as the samples.

Grey that is stored with white as zero is inverted, and the transparent value of a PNG becomes white, as with 8 bits.
"""

import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from gfi.datasets.errors import DecodeError
from gfi.datasets.tiff import refuse_signed, tag_of, white_is_zero
from gfi.domain.window import AppliedWindow, Window

_WHITE = 65535
_UNLIKELY = 2**14
"""If all values are below this, the data probably have 14 bits or fewer."""
_BITS_PER_SAMPLE = 258
_LARGEST_VALUE = (341, 281)
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

_Values = NDArray[np.integer] | NDArray[np.floating]


@dataclass(frozen=True)
class Stored:
    """An image as stored in its file. opened: pixels not loaded yet. reopen: opens the file again."""

    opened: ImageFile.ImageFile
    data: bytes
    format: str
    raw_mode: str
    reopen: Callable[[], ImageFile.ImageFile]

    @staticmethod
    def of(
        opened: ImageFile.ImageFile, data: bytes, file_format: str, reopen: Callable[[], ImageFile.ImageFile]
    ) -> "Stored":
        """To be called before the pixels are loaded."""
        arguments = opened.tile[0].args if opened.tile else ""
        raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        return Stored(opened, data, file_format, raw_mode if isinstance(raw_mode, str) else "", reopen)

    def tag(self, number: int) -> int:
        """The largest value of a TIFF tag; 0 where there is none."""
        return tag_of(self.opened, number)

    def bits(self) -> int:
        """Bits per sample of the file; 8 if there are not more."""
        if self.format == "TIFF":
            return self.tag(_BITS_PER_SAMPLE)
        if self.format == "PPM":
            return self.maxval().bit_length()
        return 16 if self.format == "PNG" and self.data[24:25] == b"\x10" else 8

    def maxval(self) -> int:
        """White by the header of a PPM or PGM; Pillow has scaled the samples from 0 … maxval."""
        if self.data[:2] in (b"P1", b"P4"):
            return 1
        words = (word for line in self.data[:4096].split(b"\n") for word in line.partition(b"#")[0].split())
        return next((int(word) for place, word in enumerate(words) if place == 3 and word.isdigit()), _WHITE)

    @property
    def white_is_zero(self) -> bool:
        """Whether grey is stored with white as zero, and Pillow leaves that to us."""
        return self.format == "TIFF" and white_is_zero(self.opened)


def to_eight_bits(
    image: Image.Image, stored: Stored, window: Window | None
) -> tuple[Image.Image, AppliedWindow | None]:
    """A loaded image with samples of 8 bits, and the window that was applied; None where it had 8 bits."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and stored.format in ("PNG", "PPM")):
        return _grey(image, stored, window)
    if mode in ("I", "F"):
        if window is None:
            kind = "32-bit integer" if mode == "I" else "floating-point"
            raise DecodeError(
                f"{kind} pixels have no standard value of white; save the picture with 8 or 16 bits, or set "
                "`input.window` in the model file"
            )
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise DecodeError("some pixels are not numbers (NaN)")
        applied = requested(window, values)
        pixels = stretched(values, applied)
        return Image.fromarray(255 - pixels if stored.white_is_zero else pixels), applied
    if stored.format == "TIFF":
        refuse_signed(stored.opened)
    if stored.bits() > 8:
        return _colour(image, stored, window)
    return image, None


def _grey(image: Image.Image, stored: Stored, window: Window | None) -> tuple[Image.Image, AppliedWindow]:
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    visible = values if transparent is None else values[values != transparent]
    if stored.format == "PPM":
        applied = _of_ppm(stored, window, visible)
    else:
        applied = requested(window, visible) if window else _of_file(stored, visible)
    pixels = _table(applied)[values]
    if stored.white_is_zero:
        pixels = 255 - pixels
    if transparent is not None:
        pixels[values == transparent] = 255
    return Image.fromarray(pixels), applied


def _colour(image: Image.Image, stored: Stored, window: Window | None) -> tuple[Image.Image, AppliedWindow]:
    """Pillow returns the upper byte of each sample. If that is not enough, the file is read again for the lower
    byte."""
    upper = np.asarray(image)
    opaque = image.mode not in ("RGBA", "LA", "RGBa", "La")
    channels = upper.shape[2] if opaque else upper.shape[2] - 1
    transparent = image.info.get("transparency")
    # A file that uses its range gives the same bits as in versions without windows.
    colours = 3 if image.mode == "CMYK" else channels
    unlikely = int(upper[..., :colours].max()) << 8 < max(_UNLIKELY, _white_by_sbit(stored))
    if window is None and transparent is None and not unlikely:
        return image, AppliedWindow(0, _WHITE, _range_of(stored))
    lower = _lower_bytes(stored)
    if lower is None:
        if window is None and (not unlikely or (stored.format == "PPM" and stored.maxval() < _WHITE)):
            return image, AppliedWindow(0, _WHITE, _range_of(stored))
        raise DecodeError(
            f"the values of this kind of 16-bit file ({image.mode}) can be read only where they use all 16 bits; "
            "save it as 16-bit grey or RGB, or with 8 bits"
        )
    samples = upper.astype(np.uint16) << 8 | lower
    values = samples[..., :channels]
    hidden = None if transparent is None else (values == np.array(transparent)).all(axis=2)
    visible = values if hidden is None else values[~hidden]
    applied = requested(window, visible) if window else _of_file(stored, visible)
    pixels = upper.copy()
    pixels[..., :channels] = _table(applied)[values]
    if not opaque:
        pixels[..., channels] = _opacity(samples[..., channels], applied)
    if hidden is not None:
        pixels[hidden] = 255
    return Image.fromarray(pixels, image.mode), applied


def _lower_bytes(stored: Stored) -> NDArray[np.uint8] | None:
    """(H, W, channels), the lower byte of each sample; None where Pillow cannot be made to hand it on."""
    again = stored.reopen()
    if stored.raw_mode == "LA;16B":  # two bytes of grey and two of opacity are read as four of colour
        again.tile = [tile._replace(args="RGBA") for tile in again.tile]
        return np.asarray(again)[..., [1, 1, 1, 3]]
    if stored.raw_mode[:-1] not in ("RGB;16", "RGBA;16"):
        return None
    again.tile = [tile._replace(args=_other_byte(tile.args)) for tile in again.tile]
    return np.asarray(again)


def _opacity(values: NDArray[np.integer], applied: AppliedWindow) -> NDArray[np.uint8]:
    """Opacity in 8 bits: of as many bits as the samples where those are fewer and it does not exceed them."""
    full = applied.high if 0 < int(values.max()) <= applied.high < _WHITE else _WHITE
    return _table(AppliedWindow(0, full, ""))[values]


def _white_by_sbit(stored: Stored) -> int:
    """2 to the bits that sBIT of a PNG says; 0 where it does not say. Samples from here on were scaled."""
    bits = max(_significant_bits(stored.data), default=16) if stored.format == "PNG" else 16
    return 2**bits if bits < 16 else 0


def _range_of(stored: Stored) -> str:
    return f"maxval {stored.maxval()} of the file" if stored.format == "PPM" else "16 bits"


def _other_byte(arguments: Any) -> Any:
    """The arguments of a decoder that takes the other byte of each sample."""
    if isinstance(arguments, tuple):
        return (_other_byte(arguments[0]), *arguments[1:])
    mode = str(arguments)
    return mode[:-1] + _OTHER_BYTE[mode[-1]]


def requested(window: Window, values: _Values) -> AppliedWindow:
    """A given window in the values of one image."""
    if not window.percentile:
        return AppliedWindow(window.low, window.high, "input.window")
    source = f"percentiles {window.low:g} and {window.high:g} of this image"
    if not values.size:
        return AppliedWindow(0, _WHITE, source)
    low, high = (float(value) for value in np.percentile(values, (window.low, window.high)))
    return AppliedWindow(low, high, source)


def _of_file(stored: Stored, values: _Values) -> AppliedWindow:
    largest = int(values.max()) if values.size else 0
    bits = _stated_bits(stored, values, largest)
    if bits:
        return AppliedWindow(0, 2**bits - 1, f"{bits} bits by the file")
    if 0 < largest < _UNLIKELY:
        white = 2 ** max(largest.bit_length(), 10) - 1
        raise DecodeError(
            f"its 16-bit samples reach only {largest:,} of 65,535: data of fewer bits, which would be nearly black. "
            f"Set the value of white, for example `input.window = [0, {white}]` in the model file"
        )
    return AppliedWindow(0, _WHITE, "16 bits")


def _stated_bits(stored: Stored, values: _Values, largest: int) -> int:
    """The number of bits per sample that the file records; 0 if it records none."""
    if stored.format == "TIFF":
        bits = stored.bits()
        if bits < 16:
            return bits
        said = next((value for number in _LARGEST_VALUE if (value := stored.tag(number)) > 0), 0)
        # A maximum that samples exceed is ignored.
        return max(said.bit_length(), 8) if largest <= said <= _WHITE else 0
    bits = max(_significant_bits(stored.data), default=0) if stored.format == "PNG" else 0
    if not 8 <= bits < 16:
        return bits if bits == 16 else 0
    # According to the standard the samples are scaled to 16 bits. Many writers do not scale them: then some samples
    # have a low bit set that scaling would leave empty.
    plain = largest < 2**bits and bool((np.asarray(values, np.int64) % 2 ** (16 - bits)).any())
    return bits if plain else 16


def _significant_bits(data: bytes) -> Iterator[int]:
    """The numbers of PNG's chunk sBIT, without that of transparency."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            return
        if kind == b"sBIT":
            colours = {0: 1, 2: 3, 4: 1, 6: 3}.get(data[25], 0)
            yield from data[at + 8 : at + 8 + min(length, colours)]
            return
        at += 12 + length


def _of_ppm(stored: Stored, window: Window | None, values: _Values) -> AppliedWindow:
    """Pillow has scaled the samples from 0 … maxval to 0 … 65535."""
    maxval = stored.maxval()
    if window is None:
        return _of_file(stored, values) if maxval == _WHITE else AppliedWindow(0, _WHITE, _range_of(stored))
    applied = requested(window, values)
    if window.percentile:
        return applied
    scale = _WHITE / max(maxval, 1)
    return AppliedWindow(applied.low * scale, applied.high * scale, applied.source)


def stretched(values: NDArray[np.floating], applied: AppliedWindow) -> NDArray[np.uint8]:
    """Samples in 8 bits: low becomes 0 and high 255; values beyond are cut."""
    levels = values - applied.low  # each step below takes its place: 8192² of them are half a gigabyte
    levels /= applied.high - applied.low or 1.0
    np.clip(levels, 0, 1, out=levels)
    levels *= 255
    levels += 0.5
    return np.floor(levels, out=levels).astype(np.uint8)


def _table(applied: AppliedWindow) -> NDArray[np.uint8]:
    """The 8 bits of each value of 16."""
    return stretched(np.arange(_WHITE + 1, dtype=np.float64), applied)

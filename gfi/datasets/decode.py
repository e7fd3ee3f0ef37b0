"""Bytes → RGB array, the same for every photograph on every machine.

    photograph = decode(data)
    photograph.rgb      uint8 (H, W, 3)
    photograph.size     (H, W) of the original after EXIF orientation
    photograph.scale    (sx, sy): original pixels per pixel of `rgb`; (1, 1) unless it was shrunk

What is done with what is not plain RGB:

- EXIF orientation (all eight) is applied: boxes and masks speak of the picture as a person sees it.
- Transparency is composited over white. A cut-out without its background is nearly always meant for a
  white page; black would put a hard dark edge around the object, which networks see and people do not.
- CMYK JPEGs follow Adobe's inverted convention, as browsers do. ICC profiles are ignored: classifiers are
  trained on the stored numbers.
- 16-bit grey is scaled to 8 bits (value / 257); grey becomes three equal channels.
- Of an animation or a multi-page file the first frame is the photograph.
- 32-bit integer and floating-point pixels are refused: they have no agreed white.

Memory is bounded by the header, before a pixel is decoded (`Limits`). A baseline JPEG above
`Limits.decoded` pixels is decoded at 1/2, 1/4 or 1/8 (the DCT gives that for nothing, and no network
looks at more); other formats must be decoded whole, so their limit is lower, and are then shrunk by an
integer factor. A bomb is a `DecodeError`, as are truncated and corrupt files, as far as the decoder notices:
a JPEG damaged in the middle that still ends properly decodes with a smear, here as everywhere.

Thread-safe: no global state of Pillow is touched. Python warnings of Pillow are silenced; a broken TIFF may
still make libtiff print a line.
"""

import io
import math
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin

from gfi.datasets.errors import DecodeError

# Pillow warns of corrupt EXIF and TIFF tags in files it then reads perfectly well. `catch_warnings` is not
# thread-safe, so the filter is set once.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Limits:
    """How large a photograph may be.

    bytes: of the file. pixels: of a picture that must be decoded whole; 8192², which takes 0.6 GB for a
    PNG and 1.1 GB for a WebP at the peak. jpeg_pixels: of a baseline JPEG, decoded line by line at reduced
    scale (500 million: 0.3 GB beside the file). decoded: at most this many pixels are handed on.
    """

    bytes: int = 256 * 2**20
    pixels: int = 8192 * 8192
    jpeg_pixels: int = 1_000_000_000
    decoded: int = 32_000_000


DEFAULT = Limits()


@dataclass(frozen=True)
class Photograph:
    """rgb: uint8 (h, w, 3), C-contiguous and writable. size: (H, W) of the original after EXIF orientation.
    scale: (W/w, H/h), how many original pixels one pixel of `rgb` stands for. format: Pillow's name."""

    rgb: np.ndarray
    size: tuple[int, int]
    format: str
    scale: tuple[float, float] = (1.0, 1.0)


_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A progressive JPEG may repeat scans of a few bytes over the whole picture: 100 scans at `Limits.pixels`
# take seconds, ten thousand an hour. Photographs have about ten.
_SCAN_PIXELS = 10_000_000_000


def decode(data: bytes, limits: Limits = DEFAULT) -> Photograph:
    """The photograph in `data`. Raises DecodeError, and nothing else, saying what is wrong with it."""
    if not data:
        raise DecodeError("the file is empty")
    if len(data) > limits.bytes:
        raise DecodeError(f"the file has {_mega(len(data))} MB; the limit is {_mega(limits.bytes)} MB")
    format = _sniff(data)
    try:
        return _decode(data, format, limits)
    except DecodeError:
        raise
    # Pillow answers broken files with almost any exception (OSError, SyntaxError, struct.error, zlib.error,
    # KeyError, MemoryError, RecursionError ...): each means that this file cannot be read.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, MemoryError):
            reason = "it asks for more memory than there is"
        raise DecodeError(f"not a readable {format}: {reason}") from error


def _decode(data: bytes, format: str, limits: Limits) -> Photograph:
    if format == "WEBP" and _webp_pixels(data) > limits.pixels:  # its decoder takes the memory when opened
        raise DecodeError(f"its header asks for more than {_mega(limits.pixels)} million pixels")
    image = _open(data, format)
    width, height = image.size
    if width < 1 or height < 1:
        raise DecodeError(f"not a readable {format}: it is {width}×{height} pixels")
    pixels = width * height
    by_line = format == "JPEG" and not image.info.get("progressive")
    allowed = max(limits.pixels, limits.jpeg_pixels) if by_line else limits.pixels
    if pixels > allowed:
        raise DecodeError(
            f"{width}×{height} pixels are {_mega(pixels)} million; the limit for this kind of file is "
            f"{_mega(allowed)} million"
        )
    if format == "JPEG":
        scans = 1 if by_line else data.count(b"\xff\xda")
        if scans * pixels > _SCAN_PIXELS:
            raise DecodeError(f"{width}×{height} pixels in {scans} scans would take too long to decode")
        factor = next((f for f in (1, 2, 4, 8) if pixels <= limits.decoded * f * f), 8)
        if factor > 1:
            image.draft(None, (width // factor, height // factor))
    drafted = image.size != (width, height)
    image.load()
    if not drafted:  # TIFF turns itself while loading
        width, height = image.size
    orientation = _orientation(image)
    plain = _to_rgb(_shrink(_to_eight_bits(image), limits.decoded))
    if orientation in _TRANSPOSE:
        plain = plain.transpose(_TRANSPOSE[orientation])
        if orientation >= 5:
            width, height = height, width
    rgb = np.array(plain, dtype=np.uint8)
    return Photograph(rgb, (height, width), format, (width / rgb.shape[1], height / rgb.shape[0]))


def _sniff(data: bytes) -> str:
    """The format by its first bytes; only these are read, whatever else Pillow has a plugin for."""
    head = data[:16]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b")):
        return "TIFF"
    if head.startswith(b"BM"):
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    raise DecodeError("not a photograph: expected JPEG, PNG, WebP, GIF, TIFF, BMP, PPM or AVIF")


def _open(data: bytes, format: str) -> Image.Image:
    """Header only. The plugin is called by name: `Image.open` would first warn of, then refuse, large JPEGs
    that we read at reduced scale, and takes a phone's JPEG with an attached preview for another format."""
    stream = io.BytesIO(data)
    if format == "JPEG":
        return JpegImagePlugin.JpegImageFile(stream)
    Image.init()
    if format not in Image.OPEN:
        raise DecodeError(f"this Pillow reads no {format}; convert the picture to JPEG or PNG")
    return Image.OPEN[format][0](stream, "")


def _webp_pixels(data: bytes) -> int:
    """Pixels of the canvas by the file's header; 0 when the first chunk says nothing."""
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X":
        return (int.from_bytes(body[4:7], "little") + 1) * (int.from_bytes(body[7:10], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        return (int.from_bytes(body[6:8], "little") & 0x3FFF) * (
            int.from_bytes(body[8:10], "little") & 0x3FFF
        )
    return 0


# value / 257, rounded: 65535 is white and 0 black. `convert("L")` would clip at 255.
_EIGHT_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray(_EIGHT_BITS[np.asarray(image)])
    if mode in ("I", "F"):
        kind = "32-bit integer" if mode == "I" else "floating-point"
        raise DecodeError(f"{kind} pixels have no agreed white; save the picture with 8 or 16 bits")
    return image


def _shrink(image: Image.Image, decoded: int) -> Image.Image:
    factor = math.ceil(math.sqrt(image.width * image.height / decoded))
    if factor <= 1:
        return image
    if image.mode in ("P", "PA", "1"):  # their numbers cannot be averaged
        image = image.convert("RGBA")
    return image.reduce(factor)


def _to_rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if "transparency" in image.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        cutout = image.convert("RGBA")
        page = Image.new("RGBA", cutout.size, "white")
        page.alpha_composite(cutout)
        return page.convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 when there is none or the EXIF block is broken: the pixels are still good."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _mega(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count >= 10**7 else f"{count / 1e6:.1f}"

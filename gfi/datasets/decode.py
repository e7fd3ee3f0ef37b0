"""Bytes → RGB array, the same for every photograph on every machine.

    photograph = decode(data)
    photograph.rgb      uint8 (H, W, 3)
    photograph.size     (H, W) of the original after EXIF orientation
    photograph.scale    (sx, sy): original pixels per pixel of `rgb`; (1, 1) unless it was shrunk
    photograph.window   how samples of more than 8 bits became 0 … 255; None where they have 8
    photograph.planes   float32 (H, W, C) in [0, 1], of a network with another number of channels than 1 or 3

How photographs that are not plain RGB are treated:

- EXIF orientation (all eight) is applied: boxes and masks refer to the upright picture.
- Transparency is composited over white. A cut-out without its background is nearly always meant for a white page; black
  would add a hard dark edge around the object, to which networks react.
- CMYK JPEGs follow Adobe's inverted convention, as browsers do. ICC profiles are ignored: classifiers are
  trained on the stored numbers.
- 10 to 16 bits are scaled to 8 by the depth that the file says, or by a window that is given (`depth`); grey
  becomes three equal channels.
- Of an animation or a multi-page file the first frame is the photograph.
- HEIC and DICOM are read where their extras are installed.
- Arrays (`.npy`) and images with more channels: `planes`.
- 32-bit integer and floating-point pixels are refused without a window, because no standard says which value is white.

Memory is limited by the size in the header, before a pixel is decoded (`Limits`). A baseline JPEG above
`Limits.decoded` pixels is decoded at 1/2, 1/4 or 1/8 (the DCT provides that at no cost, and no network has a larger
input); other formats must be decoded whole, so their limit is lower, and are then shrunk by an integer factor. A bomb
is a `DecodeError`, as are truncated and corrupt files, as far as the decoder notices: a JPEG that is damaged in the
middle but ends correctly is decoded with a visible error, as in every program.

Thread-safe: no global state of Pillow is touched. Python warnings of Pillow are silenced; libtiff may still print a
line for a broken TIFF.
"""

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from gfi.datasets.depth import Stored, to_eight_bits
from gfi.datasets.errors import DecodeError
from gfi.datasets.file_kinds import EXTRAS, HEAD, READABLE, format_of
from gfi.datasets.jpeg_quality import jpeg_quality
from gfi.datasets.planes import Planes, read_npy, read_pages
from gfi.datasets.tiff import refuse_large_tiles
from gfi.domain.preprocess import Preprocess
from gfi.domain.window import AppliedWindow, Window

# Pillow warns of corrupt EXIF and TIFF tags in files it then reads perfectly well. `catch_warnings` is not
# thread-safe, so the filter is set once.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Limits:
    """How large a photograph may be.

    bytes: of the file. pixels: of a picture that must be decoded whole; 8192², which takes 0.6 GB for a
    PNG and 1.1 GB for a WebP at the peak. jpeg_pixels: of a baseline JPEG, decoded line by line at reduced
    scale (500 million: 0.3 GB in addition to the file). decoded: the largest number of pixels that is returned.
    """

    bytes: int = 256 * 2**20
    pixels: int = 8192 * 8192
    jpeg_pixels: int = 1_000_000_000
    decoded: int = 32_000_000


DEFAULT = Limits()


@dataclass(frozen=True)
class Photograph:
    """rgb: uint8 (h, w, 3), C-contiguous and writable. size: (H, W) of the original after EXIF orientation.
    scale: (W/w, H/h), how many original pixels one pixel of `rgb` stands for. format: Pillow's name. orientation: by
    EXIF, of what is stored. window: what was done with samples of more than 8 bits. jpeg_quality: 1 … 100, estimated;
    None for other formats. planes: float32 (H, W, C) in [0, 1], what a network with other than 1 or 3 channels sees;
    `rgb` is then what people are shown, by `input.shown` of the model file."""

    rgb: np.ndarray
    size: tuple[int, int]
    format: str
    scale: tuple[float, float] = (1.0, 1.0)
    orientation: int = 1
    window: AppliedWindow | None = None
    jpeg_quality: float | None = None
    planes: np.ndarray | None = None

    @property
    def seen(self) -> np.ndarray:
        """What the network's input is made from."""
        return self.rgb if self.planes is None else self.planes


_OF_PHOTOGRAPHS = (1, 3)
"""Numbers of channels of the networks that see photographs."""
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


def decode_for(data: bytes, preprocess: Preprocess | None, limits: Limits = DEFAULT) -> Photograph:
    """`decode` as a network with this input sees the file, and as people are shown it. None: without a network."""
    if preprocess is None:
        return decode(data, limits)
    return decode(data, limits, preprocess.window, preprocess.channels, preprocess.shown)


def decode(
    data: bytes,
    limits: Limits = DEFAULT,
    window: Window | None = None,
    channels: int | None = None,
    shown: tuple[int, ...] | None = None,
) -> Photograph:
    """The photograph in `data`. Raises only DecodeError, which says what is wrong with the file.

    window: which values are black and white in a file with more than 8 bits per sample; None: as the file says. Files
    with 8 bits are read unchanged. channels: of the network; where they are not 1 or 3 the file has as many, and the
    photograph has `planes`. Grey and colour are read for both 1 and 3. None: what people are shown of any file.
    shown: of `planes`, the channels in `rgb`, see `gfi.domain.preprocess.Preprocess`.
    """
    if not data:
        raise DecodeError("the file is empty")
    if len(data) > limits.bytes:
        raise DecodeError(f"the file has {_mega(len(data))} MB; the limit is {_mega(limits.bytes)} MB")
    file_format = _sniff(data)
    try:
        if file_format == "NPY":
            return _of_planes(read_npy(data, limits.pixels, window), file_format, limits, channels, shown)
        if channels is not None and channels not in _OF_PHOTOGRAPHS:
            return _of_planes(
                _pages(data, file_format, limits, window, channels), file_format, limits, channels, shown
            )
        return _decode(data, file_format, limits, window)
    except DecodeError:
        raise
    # Pillow answers broken files with almost any exception (OSError, SyntaxError, struct.error, zlib.error,
    # KeyError, MemoryError, RecursionError ...): each means that this file cannot be read.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, MemoryError):
            reason = "it needs more memory than there is"
        raise DecodeError(f"not a readable {file_format}: {reason}") from error


def _decode(data: bytes, file_format: str, limits: Limits, window: Window | None) -> Photograph:
    if file_format == "WEBP" and _webp_pixels(data) > limits.pixels:  # opening it allocates its memory
        raise DecodeError(f"its header asks for more than {_mega(limits.pixels)} million pixels")
    if file_format == "DICOM":
        from gfi.datasets.dicom import read_dicom

        picture, applied = read_dicom(data, limits.pixels, window)
        rgb = np.array(_shrink(picture, limits.decoded).convert("RGB"), dtype=np.uint8)
        size = picture.height, picture.width
        return Photograph(
            rgb, size, file_format, (size[1] / rgb.shape[1], size[0] / rgb.shape[0]), 1, applied
        )
    image = _open(data, file_format)
    width, height = image.size
    if width < 1 or height < 1:
        raise DecodeError(f"not a readable {file_format}: it is {width}×{height} pixels")
    refuse_large_tiles(image, limits.pixels)
    factor = _reduction(image, data, file_format, limits)
    if factor > 1:
        image.draft(None, (width // factor, height // factor))
    drafted = image.size != (width, height)
    turns_itself = file_format == "TIFF"
    stored_orientation = _orientation(image) if turns_itself else None
    stored = Stored.of(image, data, file_format, lambda: _open(data, file_format))
    image.load()
    if not drafted:
        width, height = image.size
    orientation = _orientation(image)
    eight_bits, applied = to_eight_bits(image, stored, window)
    plain = _to_rgb(_shrink(eight_bits, limits.decoded))
    if orientation in _TRANSPOSE:
        plain = plain.transpose(_TRANSPOSE[orientation])
        if orientation >= 5:
            width, height = height, width
    rgb = np.array(plain, dtype=np.uint8)
    scale = width / rgb.shape[1], height / rgb.shape[0]
    quality = jpeg_quality(image.quantization) if isinstance(image, JpegImagePlugin.JpegImageFile) else None
    shown = stored_orientation or orientation
    return Photograph(rgb, (height, width), file_format, scale, shown, applied, quality)


def _pages(data: bytes, file_format: str, limits: Limits, window: Window | None, channels: int) -> Planes:
    if file_format != "TIFF":
        raise DecodeError(
            f"the model takes {channels} channels: a .npy file, or a TIFF of {channels} grey pages, not {file_format}"
        )
    return read_pages(_open(data, file_format), channels, limits.pixels, window)


def _of_planes(
    planes: Planes, file_format: str, limits: Limits, channels: int | None, shown: tuple[int, ...] | None
) -> Photograph:
    height, width, own = planes.values.shape
    several = channels is not None and channels not in _OF_PHOTOGRAPHS
    if channels is not None and own != channels and (several or own not in _OF_PHOTOGRAPHS):
        raise DecodeError(f"it has {own} channels; the model takes {channels}")
    rgb = np.array(_shrink(planes.picture(shown), limits.decoded).convert("RGB"), dtype=np.uint8)
    scale = width / rgb.shape[1], height / rgb.shape[0]
    if several and scale != (1.0, 1.0):
        raise DecodeError(
            f"{width}×{height} pixels; the limit with {channels} channels is {limits.decoded:,}"
        )
    seen = planes.values if several else None
    return Photograph(rgb, (height, width), file_format, scale, window=planes.window, planes=seen)


def _reduction(image: Image.Image, data: bytes, file_format: str, limits: Limits) -> int:
    """The factor by which a JPEG is reduced during decoding; 1 for other formats. DecodeError: it is too large."""
    width, height = image.size
    pixels = width * height
    by_line = file_format == "JPEG" and not image.info.get("progressive")
    allowed = max(limits.pixels, limits.jpeg_pixels) if by_line else limits.pixels
    if pixels > allowed:
        raise DecodeError(
            f"{width}×{height} pixels are {_mega(pixels)} million; the limit for this kind of file is "
            f"{_mega(allowed)} million"
        )
    if file_format != "JPEG":
        return 1
    scans = 1 if by_line else data.count(b"\xff\xda")
    if scans * pixels > _SCAN_PIXELS:
        raise DecodeError(f"{width}×{height} pixels in {scans} scans would take too long to decode")
    return next((f for f in (1, 2, 4, 8) if pixels <= limits.decoded * f * f), 8)


def _sniff(data: bytes) -> str:
    """The format according to the first bytes; no other format is read, even if Pillow has a plugin for it."""
    file_format = format_of(data[:HEAD])
    if file_format in READABLE:
        return file_format
    if file_format in EXTRAS:
        raise DecodeError(f"{file_format} needs the extra: pip install 'gfi[{EXTRAS[file_format][1]}]'")
    if file_format is not None:
        raise DecodeError(f"{file_format} is not supported; convert it to PNG or JPEG")
    raise DecodeError("not a photograph: expected JPEG, PNG, WebP, GIF, TIFF, BMP, PPM or AVIF")


def _open(data: bytes, file_format: str) -> ImageFile.ImageFile:
    """Header only. The plugin is called by name: `Image.open` would warn about, then refuse, large JPEGs that are read
    here at reduced scale, and it mistakes a phone's JPEG with an attached preview for another format."""
    stream = io.BytesIO(data)
    if file_format == "JPEG":
        return JpegImagePlugin.JpegImageFile(stream)
    if file_format == "HEIC":
        from pillow_heif import HeifImageFile

        return HeifImageFile(stream, "")
    Image.init()
    if file_format not in Image.OPEN:
        raise DecodeError(
            f"this build of Pillow does not read {file_format}; convert the picture to JPEG or PNG"
        )
    return Image.OPEN[file_format][0](stream, "")


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


def _shrink(image: Image.Image, decoded: int) -> Image.Image:
    factor = math.ceil(math.sqrt(image.width * image.height / decoded))
    if factor <= 1:
        return image
    if image.mode in ("P", "PA", "1"):  # palette indices cannot be averaged
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


def orientation_of(file: Path) -> int:
    """The EXIF orientation of a photograph, read from its header; 1 where it states none or cannot be read."""
    try:
        with Image.open(file) as image:
            return _orientation(image)
    except Exception:  # as in `decode`: Pillow answers broken files with almost any exception
        return 1


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 when there is none or the EXIF block is broken: the pixels are still good."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _mega(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count >= 10**7 else f"{count / 1e6:.1f}"

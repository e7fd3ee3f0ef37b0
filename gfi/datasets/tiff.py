"""What the tags of a TIFF say of one page, where Pillow leaves that to us. Every page has tags of its own."""

from PIL import Image

from gfi.datasets.errors import DecodeError

_PHOTOMETRIC, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLE_FORMAT = 262, 274, 322, 323, 339
_WHITE_IS_ZERO, _UPRIGHT, _SIGNED = 0, 1, 2


def tag_of(opened: Image.Image, number: int, absent: int = 0) -> int:
    """The largest value of a tag; `absent` where there is none, or the image is no TIFF."""
    value = getattr(opened, "tag_v2", {}).get(number, absent)
    try:
        return int(max(value)) if isinstance(value, tuple) else int(value)
    except (TypeError, ValueError, OverflowError):
        return absent


def white_is_zero(opened: Image.Image) -> bool:
    """Whether grey is stored with white as zero. Pillow inverts up to 8 bits, and leaves others to us."""
    return tag_of(opened, _PHOTOMETRIC, absent=1) == _WHITE_IS_ZERO


def is_upright(opened: Image.Image) -> bool:
    """Whether the page is stored upright; to be asked before its pixels are loaded."""
    return tag_of(opened, _ORIENTATION, absent=_UPRIGHT) == _UPRIGHT


def refuse_signed(opened: Image.Image) -> None:
    """DecodeError for signed samples; to be called for 8 bits, which Pillow reads as unsigned."""
    if tag_of(opened, _SAMPLE_FORMAT) == _SIGNED:
        raise DecodeError("signed 8-bit samples have no agreed white; save the picture with unsigned ones")


def refuse_large_tiles(opened: Image.Image, most_pixels: int) -> None:
    """DecodeError for tiles above `most_pixels`: memory for a whole tile is used, however small the picture is."""
    width, height = tag_of(opened, _TILE_WIDTH), tag_of(opened, _TILE_HEIGHT)
    if width * height > most_pixels:
        raise DecodeError(f"tiles of {width}×{height} pixels; the limit is {most_pixels:,}")

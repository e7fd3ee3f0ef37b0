"""Decides which files are photographs: by suffix, or by the first bytes of files without one."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from gfi.datasets.errors import DatasetError

EXTRAS = {
    "HEIC": ("pillow_heif", "heic", (".heic", ".heif", ".hif")),
    "DICOM": ("pydicom", "dicom", (".dcm", ".dicom")),
}
"""Formats that a library of an extra reads: the library, the extra, and the suffixes."""
_INSTALLED = {kind: importlib.util.find_spec(library) is not None for kind, (library, _, _) in EXTRAS.items()}
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
    *(".ppm", ".pgm", ".pbm", ".avif"),
    *(suffix for kind, (_, _, suffixes) in EXTRAS.items() if _INSTALLED[kind] for suffix in suffixes),
)
READABLE = (
    *("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "NPY"),
    *(kind for kind in EXTRAS if _INSTALLED[kind]),
)
"""The formats that `decode` reads."""
HEAD = 132
"""How many bytes `format_of` looks at."""

_OTHER_IMAGES = {
    **{suffix: kind for kind, (_, _, suffixes) in EXTRAS.items() for suffix in suffixes},
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), "JPEG 2000"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"), "camera raw"),
    ".jxl": "JPEG XL",
    ".svg": "SVG",
    ".psd": "PSD",
    ".npy": "NumPy (read with ?suffixes=.npy)",
}
_OF_THE_SYSTEM = (".ds_store", "thumbs.db", "desktop.ini")
_NO_SUFFIX = "none"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def format_of(head: bytes) -> str | None:
    """The format of an image file by its first HEAD bytes; None if it is not an image. Not every format can be read."""
    if head[128:132] == b"DICM":  # first: what comes before is often the beginning of a TIFF
        return "DICOM"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"\x93NUMPY"):
        return "NPY"
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
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIC"
    return None


def is_image(name: str) -> bool:
    """Whether the suffix is that of an image; False for hidden files (.DS_Store, ._photo.jpg of macOS archives)."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def is_other_image(name: str) -> bool:
    """Whether the suffix is that of an image format that is not supported."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in _OTHER_IMAGES


def kind_of(name: str) -> str:
    """The kind of a file that is not read, by its name: `HEIC`, `.txt`."""
    suffix = PurePosixPath(name).suffix.lower()
    return with_extra(_OTHER_IMAGES.get(suffix, "")) or suffix[:20] or "without a suffix"


def with_extra(kind: str) -> str:
    """The name of a format, with the extra that reads it where this is not installed."""
    return f"{kind} without gfi[{EXTRAS[kind][1]}]" if not _INSTALLED.get(kind, True) else kind


@dataclass(frozen=True)
class Selection:
    """Which names are read as photographs. suffixes: lower-case, with their dot; "" for names without one, whose first
    bytes are otherwise examined (`sniffs`)."""

    suffixes: tuple[str, ...] = IMAGE_SUFFIXES

    @staticmethod
    def parse(text: str | None) -> "Selection":
        """The option `?suffixes=.jpg,.dat,none`; None for the usual ones. DatasetError: it is empty."""
        if text is None:
            return Selection()
        words = [word.strip().lower() for word in text.split(",") if word.strip()]
        if not words:
            raise DatasetError("the option `suffixes` names no suffix; say for example ?suffixes=.jpg,.dat")
        return Selection(tuple("" if word == _NO_SUFFIX else "." + word.lstrip(".") for word in words))

    def option(self) -> dict[str, str]:
        """As `parse` reads it; {} for the usual suffixes."""
        if self.suffixes == IMAGE_SUFFIXES:
            return {}
        return {"suffixes": ",".join(suffix or _NO_SUFFIX for suffix in self.suffixes)}

    def reads(self, name: str) -> bool:
        """Whether a file of this name is a photograph, by the name."""
        suffix = PurePosixPath(name).suffix
        if not suffix:
            return "" in self.suffixes
        return name.lower().endswith(tuple(filter(None, self.suffixes)) or ("\0",))

    def sniffs(self, name: str) -> bool:
        """Whether the first bytes of the file decide."""
        return not PurePosixPath(name).suffix and self.suffixes == IMAGE_SUFFIXES


def worth_a_word(name: str) -> bool:
    """Whether a note mentions that this file is left out; not for files that systems put into every folder."""
    return name.lower() not in _OF_THE_SYSTEM


def suffixes_for_people(suffixes: Iterable[str] = IMAGE_SUFFIXES) -> str:
    """For messages."""
    return " ".join(suffix or "(none)" for suffix in suffixes)

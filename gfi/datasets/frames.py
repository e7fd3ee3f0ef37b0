"""The frames of DICOM files as images of their own: `?frames=each` lists `scan.dcm#1`, `scan.dcm#2`, …

The number of frames is read when the dataset is listed, without decoding pixels; every DICOM file is read for it, so
this is an option. A file is one by its first bytes, where its name is not that of another image: scanners write
`IM000001`. An image is fetched as a DICOM file that holds its frame alone: one frame is decoded for one image.
Other files, and DICOM files of one frame, are listed under their own key.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.file_kinds import EXTRAS, HEAD, format_of, is_image, is_other_image, with_extra
from gfi.datasets.listing import Fetched, Listed, Source
from gfi.datasets.notes import ListingNotes

OPTION = "frames"
MOST_FRAMES = 10_000
"""Of one file."""
_SUFFIXES = EXTRAS["DICOM"][2]


def asked(options: dict[str, str]) -> bool:
    """Whether each frame is an image; removes the option. DatasetError if it is not `each`, or the extra is missing."""
    value = options.pop(OPTION, None)
    if value is None:
        return False
    if value != "each":
        raise DatasetError(f"the option {OPTION} is each, not {value[:40]!r}")
    if (missing := with_extra("DICOM")) != "DICOM":
        raise DatasetError(f"the option {OPTION} reads {missing}")
    return True


class Framed:
    """A source whose DICOM files of several frames are several images; its kind is that of the source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.kind = source.kind
        self.spec = f"{source.spec}{'&' if '?' in source.spec else '?'}{OPTION}=each"

    def describe(self) -> str:
        return f"each frame of {self._source.describe()}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        """Each frame once, in the order of the source and of the file."""
        notes = ListingNotes() if notes is None else notes
        files = frames = 0
        for listed in self._source.list(notes):
            count = self._count(listed) if _may_be_dicom(listed.key) else 1
            if count == 1:
                yield listed
                continue
            files, frames = files + 1, frames + count
            yield from (replace(listed, key=f"{listed.key}#{number}") for number in range(1, count + 1))
        if files:
            notes.say(f"{frames:,} frames of {files:,} DICOM files")

    def _count(self, listed: Listed) -> int:
        """The frames of a file; 1 for one that cannot be read, whose image says why later."""
        try:
            data = self._source.fetch(listed.key, listed.version or None).data
        except Unavailable:
            raise
        except DatasetError:
            return 1
        count = frames_of(data)
        if count > MOST_FRAMES:
            raise DatasetError(
                f"{listed.key} has {count:,} frames; at most {MOST_FRAMES:,} of a file are listed"
            )
        return count

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        name, _, number = key.rpartition("#")
        if not (name and _may_be_dicom(name) and number.isdecimal() and len(number) <= 9):
            return self._source.fetch(key, version)
        by_suffix = name.lower().endswith(_SUFFIXES)
        try:
            whole = self._source.fetch(name, version)
        except Unavailable:
            raise
        except DatasetError:
            if by_suffix:
                raise
            return self._source.fetch(key, version)
        if not by_suffix and frames_of(whole.data) == 1:  # the file itself is called `IM#1`
            return self._source.fetch(key, version)
        frame = hashlib.sha256(f"{whole.sha256}#{int(number)}".encode()).hexdigest()
        return replace(whole, data=frame_of(whole.data, int(number), key), sha256=frame)


def _may_be_dicom(key: str) -> bool:
    """Whether the first bytes of a file decide: its suffix is of DICOM, or of no image."""
    name = PurePosixPath(key).name
    return name.lower().endswith(_SUFFIXES) or not (is_image(name) or is_other_image(name))


def frames_of(data: bytes) -> int:
    """How many frames a DICOM file has, by its header; 1 for what is none or cannot be read."""
    if format_of(data[:HEAD]) != "DICOM":
        return 1
    from gfi.datasets.dicom import opened

    try:
        file = opened(data, without_pixels=True)
        return max(int(file.get("NumberOfFrames") or 1), 1)
    except Exception:  # pydicom answers broken files with almost any exception; decoding says what is wrong
        return 1


def frame_of(data: bytes, number: int, key: str) -> bytes:
    """A DICOM file of frame `number`, from 1, alone. DatasetError: there is none, or it cannot be cut out."""
    from pydicom.encaps import encapsulate

    from gfi.datasets.dicom import OFFSETS, compressed_frame, opened, settle_frame

    try:
        file = opened(data)
        count = int(file.get("NumberOfFrames") or 1)
        if not 1 <= number <= count:
            raise DatasetError(f"{key}: the file has {count} frames")
        settle_frame(file, number)
        if file.file_meta.TransferSyntaxUID.is_compressed:
            pixels = encapsulate([compressed_frame(file, number, count)])
        else:
            bits = file.Rows * file.Columns * file.SamplesPerPixel * file.BitsAllocated
            if bits % 8 or bits // 8 * count > len(file.PixelData):
                raise DatasetError(f"{key}: the pixels do not divide into {count} frames")
            pixels = file.PixelData[(number - 1) * bits // 8 : number * bits // 8]
            pixels += b"\0" * (len(pixels) % 2)  # DICOM pads to an even length
        for name in OFFSETS:
            if name in file:
                del file[name]
        file.PixelData = pixels
        file.NumberOfFrames = 1
        out = io.BytesIO()
        file.save_as(out)
    except DatasetError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(f"{key}: the frame cannot be read: {reason}") from error
    return out.getvalue()

"""DICOM files as pictures of 8 bits; needs the extra `dicom` (pydicom).

Samples of grey are rescaled (slope and intercept, or the modality's table). Black and white are then those of the given
window, else of the file's first window (centre and width), else of the range that its bits allow. MONOCHROME1, in which
white is zero, is inverted. Colour is read as RGB, also from a palette. A file with several frames is refused, because
one key is one image; `frames` makes an image of each. Enhanced files keep the rescale and the window in groups of
elements for each frame; `settle_frame` brings them where other files have them.
"""

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from gfi.datasets.depth import requested, stretched
from gfi.datasets.errors import DecodeError
from gfi.domain.window import AppliedWindow, Window

_SHARED, _OF_FRAMES = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_OF_GREY = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
"""The groups of rescale, and of window."""
OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
"""Where each compressed frame lies in the pixels of the file."""


def opened(data: bytes, *, without_pixels: bool = False) -> Any:
    """The file in `data`. DecodeError where all of it is deflated; else raises what pydicom raises.

    pydicom inflates such a file before anything can be checked: a megabyte may become a gigabyte.
    """
    stream = io.BytesIO(data)
    read_preamble(stream, force=False)
    # As pydicom itself reads it: another reading might find another syntax.
    if _read_file_meta_info(stream).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise DecodeError(
            "a deflated DICOM file is not read; save it with another transfer syntax, for example with"
            " `dcmconv --write-xfer-little`"
        )
    stream.seek(0)
    return pydicom.dcmread(stream, stop_before_pixels=without_pixels)


def settle_frame(file: Any, number: int) -> None:
    """Move rescale and window of frame `number`, from 1, to the top level of `file`, and remove the groups.

    DecodeError: the groups do not have this frame.
    """
    shared, frames = file.get(_SHARED), file.get(_OF_FRAMES)
    if frames and number > len(frames):
        raise DecodeError(f"its functional groups are of {len(frames)} frames; frame {number} has none")
    groups = [*([frames[number - 1]] if frames else []), *(shared or [])]
    for name in _OF_GREY:
        found = next((group[name].value for group in groups if group.get(name)), ())
        for element in found[0] if found else ():
            file[element.tag] = element
    for name in (_SHARED, _OF_FRAMES):
        if name in file:
            del file[name]


def compressed_frame(file: Any, number: int, frames: int) -> bytes:
    """The bytes of frame `number`, from 1, of a file with `frames` compressed ones. Raises what pydicom raises."""
    stated = all(name in file for name in OFFSETS)
    offsets = (file[OFFSETS[0]].value, file[OFFSETS[1]].value) if stated else None
    found: bytes = get_frame(file.PixelData, number - 1, number_of_frames=frames, extended_offsets=offsets)
    return found


def read_dicom(
    data: bytes, most_pixels: int, window: Window | None
) -> tuple[Image.Image, AppliedWindow | None]:
    """The picture, and what was done with its samples; None for colour. Raises DecodeError, or what pydicom raises."""
    file = opened(data)
    frames = int(file.get("NumberOfFrames") or 1)
    if frames > 1:
        raise DecodeError(
            f"a DICOM file of {frames} frames; one key is one image: say ?frames=each of the dataset"
        )
    settle_frame(file, 1)
    rows, columns = int(file.get("Rows") or 0), int(file.get("Columns") or 0)
    if not rows * columns:
        raise DecodeError("the file holds no picture: it has no rows and columns")
    if rows * columns > most_pixels:
        raise DecodeError(f"{columns}×{rows} pixels; the limit for this kind of file is {most_pixels:,}")
    if file.file_meta.get("TransferSyntaxUID") == RLELossless:
        _refuse_expanding(compressed_frame(file, 1, 1), rows * columns)
    kind = str(file.get("PhotometricInterpretation", ""))
    samples = pixel_array(file)
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        values = apply_modality_lut(samples, file).astype(np.float64)
        applied = requested(window, values) if window else _of_file(file)
        grey = stretched(values, applied)
        return Image.fromarray(255 - grey if kind == "MONOCHROME1" else grey), applied
    if kind == "PALETTE COLOR":
        samples = apply_color_lut(samples, file)
        samples = (samples >> 8).astype(np.uint8) if samples.dtype == np.uint16 else samples
    if samples.ndim != 3 or samples.shape[2] != 3 or samples.dtype != np.uint8:
        raise DecodeError(f"a DICOM file of {kind or 'unknown'} samples, {samples.dtype}, is not read")
    return Image.fromarray(samples), None


def _refuse_expanding(runs: bytes, pixels: int) -> None:
    """DecodeError where run lengths stand for more than twice the pixels: two bytes may stand for 128."""
    starts = [int(start) for start in np.frombuffer(runs[:64], "<u4")]
    for start, end in pairwise([*starts[1 : starts[0] + 1], len(runs)]):
        if sum(_lengths(runs, start, end, 2 * pixels)) > 2 * pixels:
            raise DecodeError("its run lengths stand for more pixels than rows and columns")


def _lengths(runs: bytes, at: int, end: int, most: int) -> Iterator[int]:
    """The bytes that each run of a segment stands for, until they are more than `most`. By DICOM PS3.5, G.3.1."""
    end, total = min(end, len(runs)), 0
    while at < end and total <= most:
        head = runs[at]
        length = 257 - head if head > 128 else (head + 1) % 129
        at += 2 if head > 128 else 1 + length
        total += length
        yield length


def _of_file(file: Any) -> AppliedWindow:
    function = str(file.get("VOILUTFunction") or "LINEAR")
    if file.get("VOILUTSequence") or function not in ("LINEAR", "LINEAR_EXACT"):
        raise DecodeError(
            "its grey levels are a table or a curve; set the values of black and white, for example"
            " `input.window = [-160, 240]` in the model file"
        )
    centre, width = (_first(file.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width > 0:
        # DICOM PS3.3, C.11.2.1.2: LINEAR counts whole values
        least, shift = (0.0, 0.0) if function == "LINEAR_EXACT" else (1.0, 0.5)
        half = max(width - least, 1e-9) / 2
        return AppliedWindow(centre - shift - half, centre - shift + half, "window of the file")
    bits, signed = int(file.BitsStored), int(file.get("PixelRepresentation") or 0)
    limits = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    low, high = sorted(float(value) for value in apply_modality_lut(limits, file))
    return AppliedWindow(low, high, f"{bits} bits by the file")


def _first(value: Any) -> float | None:
    """A number, or the first of several."""
    if value is None or value == "":
        return None
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)

"""DICOM files as pictures of 8 bits; needs the extra `dicom` (pydicom).

Samples of grey are rescaled (slope and intercept, or the modality's table). Black and white are then those of the given
window, else of the file's first window (centre and width), else of the range that its bits allow. MONOCHROME1, in which
white is zero, is inverted. Colour is read as RGB, also from a palette. A file with several frames is refused, because
one key is one image; `frames` makes an image of each.
"""

import io
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

from gfi.datasets.depth import requested, stretched
from gfi.datasets.errors import DecodeError
from gfi.domain.window import AppliedWindow, Window


def read_dicom(
    data: bytes, most_pixels: int, window: Window | None
) -> tuple[Image.Image, AppliedWindow | None]:
    """The picture, and what was done with its samples; None for colour. Raises DecodeError, or what pydicom raises."""
    file: Any = pydicom.dcmread(io.BytesIO(data))
    frames = int(file.get("NumberOfFrames") or 1)
    if frames > 1:
        raise DecodeError(
            f"a DICOM file of {frames} frames; one key is one image: say ?frames=each of the dataset"
        )
    rows, columns = int(file.get("Rows") or 0), int(file.get("Columns") or 0)
    if not rows * columns:
        raise DecodeError("the file holds no picture: it has no rows and columns")
    if rows * columns > most_pixels:
        raise DecodeError(f"{columns}×{rows} pixels; the limit for this kind of file is {most_pixels:,}")
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
    low, high = sorted(float(value) for value in _rescaled(limits, file))
    return AppliedWindow(low, high, f"{bits} bits by the file")


def _rescaled(values: NDArray[np.integer], file: Any) -> NDArray[np.floating]:
    return values * float(file.get("RescaleSlope") or 1) + float(file.get("RescaleIntercept") or 0)


def _first(value: Any) -> float | None:
    """A number, or the first of several."""
    if value is None or value == "":
        return None
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)

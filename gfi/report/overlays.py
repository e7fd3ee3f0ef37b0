"""Masks as pictures: coloured, blended with the photograph, encoded as PNG or JPEG. numpy and Pillow only.

A mask is (h, w) float in [0, 1]; a photograph is (H, W, 3) uint8. `gfi.domain.geometry.place` puts a mask of the input
size on the part of the photograph that the network saw.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfi.domain.geometry import fitted
from gfi.report.colours import DEFAULT_COLOUR_MAP, lookup_table

Picture = NDArray[np.uint8]
Mask = NDArray[np.floating]


def grey(mask: Mask) -> Picture:
    """The mask (H, W) in 8 bits: 0 → 0, 1 → 255, rounded; clipped outside [0, 1]; not-a-number → 0."""
    if mask.ndim != 2:
        raise ValueError(f"a mask is (H, W); this one has shape {mask.shape}")
    finite = np.nan_to_num(mask, nan=0.0, posinf=1.0, neginf=0.0)
    return np.rint(np.clip(finite, 0, 1) * 255).astype(np.uint8)


def colour(mask: Mask, colour_map: str = DEFAULT_COLOUR_MAP) -> Picture:
    """The mask (H, W) through a colour map (viridis, magma or jet): (H, W, 3) uint8."""
    return lookup_table(colour_map)[grey(mask)]


def overlay(
    photo: Picture, mask: Mask, opacity: float = 0.5, colour_map: str = DEFAULT_COLOUR_MAP
) -> Picture:
    """The coloured mask over the photograph: photo·(1−opacity) + colour·opacity, (H, W, 3) uint8.

    photo: (H, W, 3), or (H, W) grey, uint8. mask: (H, W), at the photograph's size, see `geometry.place`.
    opacity: in [0, 1].
    """
    if photo.shape[:2] != mask.shape:
        raise ValueError(
            f"mask {mask.shape} and photograph {photo.shape[:2]} differ in size; place the mask with place() first"
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity is between 0 and 1, not {opacity}")
    base = photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, axis=2)
    # Integer arithmetic in 1/256ths: a photograph of 24 megapixels would take 300 MB in float32.
    share = round(opacity * 256)
    mixed = base.astype(np.uint16) * (256 - share) + colour(mask, colour_map).astype(np.uint16) * share
    return ((mixed + 128) >> 8).astype(np.uint8)


def png(array: NDArray[Any]) -> bytes:
    """PNG bytes of (H, W) grey, (H, W, 2) grey + alpha, (H, W, 3) or (H, W, 4) uint8.

    A float array (H, W) is a mask in [0, 1] and is written as 8-bit grey, see `grey`.
    """
    pixels: NDArray[Any] = grey(array) if array.dtype.kind == "f" else array
    if pixels.dtype != np.uint8:
        raise ValueError(f"a picture is uint8, or a float mask; this one is {pixels.dtype}")
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()


def jpeg(photo: Picture, quality: int = 84) -> bytes:
    """JPEG bytes of a photograph, (H, W) or (H, W, 3) uint8."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(photo)).save(out, "JPEG", quality=quality)
    return out.getvalue()


def shrink(photo: Picture, longest: int) -> Picture:
    """The photograph reduced to `longest` pixels on its longer side; a smaller one is returned as it is."""
    size = fitted((photo.shape[0], photo.shape[1]), longest)
    if size == photo.shape[:2]:
        return photo
    image = Image.fromarray(np.ascontiguousarray(photo))
    return np.asarray(image.resize(size[::-1], Image.Resampling.LANCZOS, reducing_gap=3.0))

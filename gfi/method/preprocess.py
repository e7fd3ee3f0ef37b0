"""Turns a photograph into the network's input, and records which part of the photograph the network sees.

`paper` resizes the photograph to the input size, whatever its proportions. `released` resizes the shorter side and
crops the centre; it blurs the photograph at full resolution and then treats the blurred one in the same way. A model
may prescribe its own crop. Mean and standard deviation are always the model's.

Only Pillow and numpy are used, in a fixed order, so the result does not depend on threads or machine.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from gfi.domain.errors import MethodError
from gfi.domain.geometry import Rectangle, scaled
from gfi.domain.preprocess import FILTERS, MOST_RESIZED, Preprocess, view
from gfi.domain.recipes import Recipe

__all__ = ["FILTERS", "MOST_RESIZED", "Prepared", "Preprocess", "normalise", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """One photograph, ready for the engine."""

    image: Tensor
    """x: (C, H, W) float32, normalised."""
    fill: Tensor | None
    """p, (C, H, W), normalised; None: the engine makes it from `image` as the recipe says."""
    original_size: tuple[int, int]
    """(H, W) of the photograph in original pixels."""
    box: Rectangle
    """(left, top, right, bottom) of the part of the photograph that the input shows, in original pixels."""


def prepare(
    rgb: NDArray[np.uint8], preprocess: Preprocess, recipe: Recipe, scale: tuple[float, float] = (1.0, 1.0)
) -> Prepared:
    """Resize, crop and normalise a photograph.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    preprocess
        The input that the network expects.
    recipe
        Determines crop and blur if the network does not.
    scale
        (sx, sy), the original pixels per pixel of `rgb`, if decoding has shrunk the photograph. Size, box and the
        radius of the full-resolution blur are in original pixels.

    Raises
    ------
    MethodError
        For another shape or type, and for proportions that would need too much memory.

    Examples
    --------
    >>> from gfi.domain.presets import RELEASED
    >>> prepared = prepare(np.zeros((60, 100, 3), np.uint8), Preprocess((30, 30)), RELEASED)
    >>> prepared.image.shape, prepared.box
    (torch.Size([3, 30, 30]), (20.0, 0.0, 80.0, 60.0))
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise MethodError(f"a photograph is (H, W, 3) of uint8, not {rgb.shape} of {rgb.dtype}")
    photograph = Image.fromarray(rgb)
    sx, sy = scale
    shown, box = view(photograph, preprocess, recipe)
    fill = None
    if recipe.fill == "blur" and recipe.fill_from == "photograph":
        radius = (recipe.blur_radius / sx, recipe.blur_radius / sy)
        blurred, _ = view(photograph.filter(ImageFilter.GaussianBlur(radius)), preprocess, recipe)
        fill = normalise(blurred, preprocess)
    original_size = (round(photograph.height * sy), round(photograph.width * sx))
    return Prepared(
        image=normalise(shown, preprocess),
        fill=fill,
        original_size=original_size,
        box=scaled(box, (photograph.height, photograph.width), original_size),
    )


def normalise(picture: Image.Image, preprocess: Preprocess) -> Tensor:
    """Pixels in [0, 1], mean subtracted, divided by the standard deviation: (C, H, W) float32."""
    pixels = np.asarray(picture.convert("L" if preprocess.channels == 1 else "RGB"), dtype=np.float32) / 255
    pixels = pixels.reshape(*pixels.shape[:2], preprocess.channels)
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocess.mean, preprocess.std))
    pixels = (pixels - mean) / std
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

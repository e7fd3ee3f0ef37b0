"""Turns a photograph into the network's input, and records which part of the photograph the network sees.

`paper` resizes the photograph to the input size, whatever its proportions. `released` resizes the shorter side and
crops the centre; it blurs the photograph at full resolution and then treats the blurred one in the same way. A model
may prescribe its own crop. Mean and standard deviation are always the model's.

Only Pillow and numpy are used, in a fixed order, so the result does not depend on threads or machine.
"""

from dataclasses import dataclass, replace
from typing import Any

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
    seen: NDArray[np.uint8] | NDArray[np.float32],
    preprocess: Preprocess,
    recipe: Recipe,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Prepared:
    """Resize, crop and normalise a photograph.

    Parameters
    ----------
    seen
        (H, W, 3) uint8; or (H, W, C) float32 in [0, 1] for a network with C channels, neither 1 nor 3.
    preprocess
        The input that the network expects.
    recipe
        Determines crop and blur if the network does not.
    scale
        (sx, sy), the original pixels per pixel of `seen`, if decoding has shrunk the photograph. Size, box and the
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
    if not isinstance(seen, np.ndarray):
        raise MethodError(
            f"a photograph is an array (H, W, 3) of uint8, not a {type(seen).__name__}; of Pillow's pictures"
            ' numpy.asarray(picture.convert("RGB"))'
        )
    if preprocess.channels not in (1, 3):
        return _prepare_planes(seen, preprocess, recipe)
    if seen.ndim != 3 or seen.shape[2] != 3 or seen.dtype != np.uint8:
        raise MethodError(f"a photograph is (H, W, 3) of uint8, not {seen.shape} of {seen.dtype}")
    photograph = Image.fromarray(seen)
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


def _prepare_planes(planes: NDArray[Any], preprocess: Preprocess, recipe: Recipe) -> Prepared:
    channels = preprocess.channels
    if planes.ndim != 3 or planes.shape[2] != channels or planes.dtype != np.float32:
        raise MethodError(
            f"the network takes (H, W, {channels}) of float32 in [0, 1], not {planes.shape} of {planes.dtype}"
        )
    if recipe.fill == "blur" and recipe.fill_from == "photograph":
        raise MethodError(
            "a blur of the whole photograph is made of 1 or 3 channels; use the preset tuned or paper, or set "
            "fill_from to input"
        )
    # The bars of a letterbox have the channel's own mean.
    singles = [replace(preprocess, channels=1, mean=(mean,)) for mean in preprocess.mean]
    shown, boxes = zip(
        *(view(Image.fromarray(planes[..., i].copy()), one, recipe) for i, one in enumerate(singles)),
        strict=True,
    )
    # Bicubic filters overshoot; samples of 8 bits are cut in the same way.
    pixels: NDArray[np.float32] = np.stack([np.asarray(one, np.float32) for one in shown], axis=2).clip(0, 1)
    return Prepared(_normalised(pixels, preprocess), None, (planes.shape[0], planes.shape[1]), boxes[0])


def normalise(picture: Image.Image, preprocess: Preprocess) -> Tensor:
    """Pixels in [0, 1], mean subtracted, divided by the standard deviation: (C, H, W) float32."""
    pixels = np.asarray(picture.convert("L" if preprocess.channels == 1 else "RGB"), dtype=np.float32) / 255
    return _normalised(pixels.reshape(*pixels.shape[:2], preprocess.channels), preprocess)


def _normalised(pixels: NDArray[np.floating], preprocess: Preprocess) -> Tensor:
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocess.mean, preprocess.std))
    pixels = (pixels - mean) / std
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

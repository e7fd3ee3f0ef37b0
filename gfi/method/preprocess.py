"""A photograph becomes the network's input, and remembers which part of it the network saw.

`paper` squashes the photograph to the input size. `released` brings the shorter side to the input size and
crops the centre, and blurs the photograph at full resolution, then treats the blurred one likewise. A model
may prescribe its own crop. Mean and standard deviation are always the model's.

Everything here is Pillow and numpy in fixed order: two threads, two machines, one result.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from gfi.domain.errors import MethodError
from gfi.domain.recipes import Recipe

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

Box = tuple[float, float, float, float]

MOST_RESIZED = 8192 * 8192
"""Pixels of a photograph brought to the input's shorter side, before the crop: 0.2 GB. A photograph of 9,000,000×1
pixels would have 450 billion, and one of 10,000×1 took 2 GB."""


@dataclass(frozen=True)
class Preprocess:
    """What a network wants to be shown."""

    size: tuple[int, int]
    """(H, W) of the input in pixels."""
    channels: int = 3
    """3 for RGB, 1 for grey."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Subtracted from and divided into pixels scaled to [0, 1]; one value a channel."""
    interpolation: str = "bilinear"
    """One of FILTERS; always antialiased."""
    crop: Literal["recipe", "centre", "none"] = "recipe"
    """Centre crop or squash, whatever the recipe says; "recipe" leaves it to the recipe."""
    resize: int | None = None
    """Before a centre crop: the shorter side in pixels, for an input whose shorter side is `size`'s.
    None: the input's own, so that the crop loses nothing of the shorter side."""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Prepared:
    """One photograph, ready for the engine."""

    image: Tensor
    """x: (C, H, W) float32, normalised."""
    fill: Tensor | None
    """p, like `image`; None: the engine makes it from `image` by the recipe."""
    original_size: tuple[int, int]
    """(H, W) of the photograph in original pixels."""
    box: Box
    """(left, top, right, bottom): the part of the photograph the input shows, in original pixels."""


def prepare(
    rgb: NDArray[np.uint8], preprocess: Preprocess, recipe: Recipe, scale: tuple[float, float] = (1.0, 1.0)
) -> Prepared:
    """Resize, crop and normalise a photograph (H, W, 3) uint8.

    scale (sx, sy): original pixels that one pixel of `rgb` stands for, where decoding shrank it; box, size
    and the radius of the full-resolution blur follow it. Raises MethodError for a photograph whose proportions would
    need too much memory.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise MethodError(f"a photograph is (H, W, 3) of uint8, not {rgb.shape} of {rgb.dtype}")
    photograph = Image.fromarray(rgb)
    sx, sy = scale
    shown, box = _fit(photograph, preprocess, recipe)
    fill = None
    if recipe.fill == "blur" and recipe.fill_from == "photograph":
        radius = (recipe.blur_radius / sx, recipe.blur_radius / sy)
        blurred, _ = _fit(photograph.filter(ImageFilter.GaussianBlur(radius)), preprocess, recipe)
        fill = _normalise(blurred, preprocess)
    left, top, right, bottom = box
    return Prepared(
        image=_normalise(shown, preprocess),
        fill=fill,
        original_size=(round(photograph.height * sy), round(photograph.width * sx)),
        box=(left * sx, top * sy, right * sx, bottom * sy),
    )


def _fit(photograph: Image.Image, preprocess: Preprocess, recipe: Recipe) -> tuple[Image.Image, Box]:
    """The photograph at the input size, and the box of it that is shown, in its own pixels."""
    height, width = preprocess.size
    resample = FILTERS[preprocess.interpolation]
    crop = recipe.resize == "crop" if preprocess.crop == "recipe" else preprocess.crop == "centre"
    if not crop:
        everything = (0.0, 0.0, float(photograph.width), float(photograph.height))
        return photograph.resize((width, height), resample), everything

    # The smallest size with the photograph's proportions that covers the input; on a square input this is
    # "shorter side to the input size", rounded down on the longer side as torchvision does.
    grow = (preprocess.resize or min(preprocess.size)) / min(preprocess.size)
    zoom = max(width * grow / photograph.width, height * grow / photograph.height)
    wide, high = (
        max(int(side * zoom + 1e-6), least)
        for side, least in ((photograph.width, width), (photograph.height, height))
    )
    if wide * high > MOST_RESIZED:
        raise MethodError(
            f"a photograph of {photograph.width}×{photograph.height} pixels cannot be cropped to {width}×{height}: "
            f"it would first be resized to {wide}×{high}; cut it to less extreme proportions"
        )
    left, top = round((wide - width) / 2), round((high - height) / 2)
    x, y = photograph.width / wide, photograph.height / high
    box = (left * x, top * y, (left + width) * x, (top + height) * y)
    resized = photograph.resize((wide, high), resample)
    return resized.crop((left, top, left + width, top + height)), box


def _normalise(picture: Image.Image, preprocess: Preprocess) -> Tensor:
    """Pixels in [0, 1], mean subtracted, divided by the standard deviation: (C, H, W) float32."""
    pixels = np.asarray(picture.convert("L" if preprocess.channels == 1 else "RGB"), dtype=np.float32) / 255
    pixels = pixels.reshape(*pixels.shape[:2], preprocess.channels)
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocess.mean, preprocess.std))
    pixels = (pixels - mean) / std
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

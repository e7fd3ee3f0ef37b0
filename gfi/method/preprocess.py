"""Turns a photograph into the network's input, and records which part of the photograph the network sees.

`paper` resizes the photograph to the input size, whatever its proportions. `released` resizes the shorter side and
crops the centre; it blurs the photograph at full resolution and then treats the blurred one in the same way. A model
may prescribe its own crop. Mean and standard deviation are always the model's.

Only Pillow and numpy are used, in a fixed order, so the result does not depend on threads or machine.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from gfi.domain.errors import MethodError
from gfi.domain.geometry import Rectangle, fit, scaled, whole
from gfi.domain.recipes import Recipe
from gfi.domain.window import Window

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

MOST_RESIZED = 8192 * 8192
"""The most pixels that a photograph may have after its shorter side was resized and before the crop: 0.2 GB. A
photograph of 9,000,000×1 pixels would have 450 billion; one of 10,000×1 took 2 GB."""


@dataclass(frozen=True)
class Preprocess:
    """The input that a network expects."""

    size: tuple[int, int]
    """(H, W) of the input in pixels."""
    channels: int = 3
    """3 for RGB, 1 for grey."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Subtracted from pixels scaled to [0, 1]; one value per channel."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """What the difference is divided by; one value per channel."""
    interpolation: str = "bilinear"
    """One of FILTERS; always antialiased."""
    crop: Literal["recipe", "centre", "none"] = "recipe"
    """"centre": crop the centre. "none": resize the whole photograph. "recipe": as `Recipe.resize` says."""
    resize: int | None = None
    """The shorter side in pixels before a centre crop; None: that of the input, so that the crop only shortens the
    longer side."""
    window: Window | None = None
    """Which values are black and white in photographs with more than 8 bits per sample; None: as the file says."""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values. Without a window the key is left out, so that the digests of earlier models do not
        change."""
        fields = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        del fields["window"]
        return fields | ({} if self.window is None else {"window": self.window.to_json()})


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
    shown, box = _fit(photograph, preprocess, recipe)
    fill = None
    if recipe.fill == "blur" and recipe.fill_from == "photograph":
        radius = (recipe.blur_radius / sx, recipe.blur_radius / sy)
        blurred, _ = _fit(photograph.filter(ImageFilter.GaussianBlur(radius)), preprocess, recipe)
        fill = _normalise(blurred, preprocess)
    original_size = (round(photograph.height * sy), round(photograph.width * sx))
    return Prepared(
        image=_normalise(shown, preprocess),
        fill=fill,
        original_size=original_size,
        box=scaled(box, (photograph.height, photograph.width), original_size),
    )


def _fit(photograph: Image.Image, preprocess: Preprocess, recipe: Recipe) -> tuple[Image.Image, Rectangle]:
    """The photograph at the input size, and the box of the part that is shown, in pixels of `photograph`."""
    height, width = preprocess.size
    resample = FILTERS[preprocess.interpolation]
    crop = recipe.resize == "crop" if preprocess.crop == "recipe" else preprocess.crop == "centre"
    size = photograph.height, photograph.width
    if not crop:
        return photograph.resize((width, height), resample), whole(size)
    (high, wide), (top, left), box = fit(size, preprocess.size, preprocess.resize)
    if wide * high > MOST_RESIZED:
        raise MethodError(
            f"a photograph of {photograph.width}×{photograph.height} pixels cannot be cropped to {width}×{height}: "
            f"it would first be resized to {wide}×{high}; cut it to less extreme proportions"
        )
    resized = photograph.resize((wide, high), resample)
    return resized.crop((left, top, left + width, top + height)), box


def _normalise(picture: Image.Image, preprocess: Preprocess) -> Tensor:
    """Pixels in [0, 1], mean subtracted, divided by the standard deviation: (C, H, W) float32."""
    pixels = np.asarray(picture.convert("L" if preprocess.channels == 1 else "RGB"), dtype=np.float32) / 255
    pixels = pixels.reshape(*pixels.shape[:2], preprocess.channels)
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocess.mean, preprocess.std))
    pixels = (pixels - mean) / std
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

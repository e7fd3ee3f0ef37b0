"""The part of a photograph that a network sees, at the size of its input. Loads no torch.

Only Pillow and numpy are used, in a fixed order, so the result does not depend on threads or machine.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from PIL import Image

from gfi.domain.errors import MethodError
from gfi.domain.geometry import Fit, Rectangle, Size, fit, scaled, whole
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

MOST_CHANNELS = 64


@dataclass(frozen=True)
class Preprocess:
    """The input that a network expects."""

    size: tuple[int, int]
    """(H, W) of the input in pixels."""
    channels: int = 3
    """3 for RGB, 1 for grey; other numbers for arrays and stacks of pages (`gfi.datasets.planes`)."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Subtracted from pixels scaled to [0, 1]; one value per channel."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """What the difference is divided by; one value per channel."""
    interpolation: str = "bilinear"
    """One of FILTERS; always antialiased."""
    crop: Literal["recipe", "centre", "none", "letterbox"] = "recipe"
    """"centre": crop the centre. "none": resize the whole photograph. "letterbox": keep its proportions and pad with
    `mean`. "recipe": as `Recipe.resize` says."""
    resize: int | tuple[int, int] | None = None
    """The shorter side in pixels before a centre crop; or (H, W), to which the whole photograph is resized before it;
    None: the shorter side of the input, so that the crop only shortens the longer side."""
    window: Window | None = None
    """Which values are black and white in photographs with more than 8 bits per sample; None: as the file says."""
    shown: tuple[int, ...] | None = None
    """The channels that people are shown, counted from 1: red, green and blue, or one as grey; None: the first three,
    or of two the first. It changes no mask."""
    crop_as: Literal["torchvision", "transformers"] = "torchvision"
    """Whose rule rounds the corner of a centre crop (`gfi.domain.geometry.fit`)."""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values. `window`, `shown` and `crop_as` are left out where they have their default: so the
        digests of earlier models do not change."""
        fields = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        del fields["window"]
        for name, default in (("shown", None), ("crop_as", "torchvision")):
            if fields[name] == default:
                del fields[name]
        return fields | ({} if self.window is None else {"window": self.window.to_json()})

    def of_digest(self) -> dict[str, Any]:
        """`to_json` of what decides the network's answer: without what people are shown."""
        return replace(self, shown=None).to_json()

    @classmethod
    def of_model(cls, record: Mapping[str, Any]) -> "Preprocess":
        """The input that a registered model's record names.

        >>> Preprocess.of_model({"preprocess": {"size": [4, 6], "mean": [0.0], "std": [1.0], "channels": 1}}).size
        (4, 6)
        """
        stored: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record["preprocess"].items()
        }
        return cls(**stored | {"window": Window.of_model(record)})

    @classmethod
    def known(cls, record: Mapping[str, Any] | None) -> "Preprocess | None":
        """`of_model`, or None where no input is recorded: of masks that were imported without a model."""
        return cls.of_model(record) if record and "size" in record.get("preprocess", {}) else None


def view(photograph: Image.Image, preprocess: Preprocess, recipe: Recipe) -> tuple[Image.Image, Rectangle]:
    """The photograph at the input size, and the box of the part that is shown, in pixels of `photograph`.

    One channel of several is a picture of floats, with a `preprocess` that has its mean alone.
    MethodError for proportions that would need too much memory.
    """
    height, width = preprocess.size
    resample = FILTERS[preprocess.interpolation]
    size = photograph.height, photograph.width
    if preprocess.crop == "letterbox":
        return _letterboxed(photograph, preprocess)
    if not _crops(preprocess, recipe.resize == "crop"):
        return photograph.resize((width, height), resample), whole(size)
    (high, wide), (top, left), box = centre_crop(size, preprocess)
    if wide * high > MOST_RESIZED:
        raise MethodError(
            f"a photograph of {photograph.width}×{photograph.height} pixels cannot be cropped to {width}×{height}: "
            f"it would first be resized to {wide}×{high}; cut it to less extreme proportions"
        )
    resized = photograph.resize((wide, high), resample)
    return resized.crop((left, top, left + width, top + height)), box


def view_box(size: Size, preprocess: Preprocess, cropped: bool = True) -> Rectangle:
    """The box of `view` for a photograph of `size`, in its pixels. cropped: what a model does that leaves it to the
    recipe.

    >>> view_box((100, 200), Preprocess((50, 50)))
    (50.0, 0.0, 150.0, 100.0)
    >>> view_box((100, 200), Preprocess((50, 50), crop="letterbox"))
    (0.0, -48.0, 200.0, 152.0)
    """
    if preprocess.crop == "letterbox":
        return _letterbox(size, preprocess.size).box
    return centre_crop(size, preprocess).box if _crops(preprocess, cropped) else whole(size)


def centre_crop(size: Size, preprocess: Preprocess) -> Fit:
    """How a photograph of `size` is resized and cropped."""
    return fit(size, preprocess.size, preprocess.resize, preprocess.crop_as == "transformers")


def _crops(preprocess: Preprocess, by_recipe: bool) -> bool:
    return by_recipe if preprocess.crop == "recipe" else preprocess.crop == "centre"


def _letterbox(size: Size, input_size: Size) -> Fit:
    """How a whole photograph is fitted to the input: resized, then placed at `corner` of the input."""
    (height, width), (high, wide) = input_size, size
    zoom = min(height / high, width / wide)
    resized = max(1, round(high * zoom)), max(1, round(wide * zoom))
    top, left = (height - resized[0]) // 2, (width - resized[1]) // 2
    return Fit(resized, (top, left), scaled((-left, -top, width - left, height - top), resized, size))


def _letterboxed(photograph: Image.Image, preprocess: Preprocess) -> tuple[Image.Image, Rectangle]:
    """The whole photograph inside the input, with bars of `Preprocess.mean`; the box reaches beyond the photograph."""
    height, width = preprocess.size
    (high, wide), (top, left), box = _letterbox((photograph.height, photograph.width), preprocess.size)
    resized = photograph.resize((wide, high), FILTERS[preprocess.interpolation])
    if photograph.mode == "F":
        out = Image.new("F", (width, height), preprocess.mean[0])
    else:
        mean = tuple(round(value * 255) for value in preprocess.mean)
        out = Image.new("RGB", (width, height), mean if len(mean) == 3 else mean * 3)
    out.paste(resized.convert(out.mode), (left, top))
    return out, box

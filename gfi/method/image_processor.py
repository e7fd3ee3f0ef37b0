"""The input of a Hugging Face classifier, as the image processor in its folder makes it.

A processor is a class of transformers with the values of preprocessor_config.json, and says in no common form what it
does: `crop_pct`, the factor 256/224 of LeViT and the second normalisation of EfficientNet are code. So a `Preprocess`
is derived from its values and then compared with the processor itself, on photographs of noise: whatever is not that
very tensor is refused. What is compared is the processor of Pillow; that of torchvision rounds resized pixels in
another way.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gfi.domain.errors import MethodError
from gfi.domain.preprocess import MOST_CHANNELS, Preprocess
from gfi.domain.presets import TUNED
from gfi.method.huggingface import CONFIG, INPUT, read_json
from gfi.method.preprocess import prepare

SAID = ("size", "crop", "interpolation", "mean", "std")
"""With all these under [input], the folder is not asked."""
ADVICE = f"say {', '.join(SAID[:-1])} and {SAID[-1]} under [input] of a model file"
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Of PIL, by the number in preprocessor_config.json."""
_LEVIT = 256 / 224
_WARPED = 384
"""From this shorter side on, ConvNeXt's processor resizes without a crop."""
_PROBES = ((67, 100), (101, 58), (90, 90), (31, 240))
"""(H, W) of the photographs that are compared: both formats, odd margins around the crop."""
_TOLERANCE = 1e-4
"""Of pixels in [0, 1]. Both compute in float32 or better; a crop that is moved by a pixel differs by about 0.1."""


def documented_input(folder: Path, said: Collection[str] = ()) -> Preprocess:
    """The input as the folder's image processor makes it: size, resizing, channels, mean, standard deviation, filter.

    said: the fields that the model file gives itself. Raises MethodError where the processor does what no field of a
    model file expresses, and where there is none.
    """
    config = read_json(folder, CONFIG)
    channels, size = config.get("num_channels", 3), _size(config.get("image_size")) or (224, 224)
    several = type(channels) is int and 1 <= channels <= MOST_CHANNELS and channels != 3
    base = Preprocess(size, channels, (0.5,) * channels, (0.5,) * channels) if several else Preprocess(size)
    if set(SAID) <= set(said):
        return base
    if not (folder / INPUT).is_file():
        if {"mean", "std"} <= set(said):
            return base
        raise MethodError(
            f"{folder} has no {INPUT}, so mean and standard deviation are not known: save the image processor of the "
            f"network there too (`AutoImageProcessor.from_pretrained(…).save_pretrained(…)`), or {ADVICE}"
        )
    path = folder / INPUT
    if base.channels not in (1, 3):
        raise MethodError(
            f"{path} is for photographs, and the network takes {base.channels} channels; {ADVICE}"
        )
    processor = _processor(folder)
    values = processor.to_dict()
    made = _normalised(_resized(base, values, path), values, path)
    _compare(processor, made, path)
    return made


def _processor(folder: Path) -> Any:
    """The processor of the folder, in its form for Pillow."""
    try:
        import transformers
        from transformers.utils import logging
    except ImportError:
        raise MethodError(
            "Hugging Face classifiers need transformers: pip install 'gfi[huggingface]'"
        ) from None
    form: dict[str, Any] = (
        {"backend": "pil"} if int(transformers.__version__.split(".")[0]) >= 5 else {"use_fast": False}
    )
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **form
        )
    except Exception as error:  # transformers raises whatever a damaged folder makes it meet
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MethodError(f"{folder / INPUT}: transformers does not read it ({text}); {ADVICE}") from error
    finally:
        logging.set_verbosity(verbosity)


def _resized(base: Preprocess, values: Mapping[str, Any], path: Path) -> Preprocess:
    """Size, crop and filter."""
    size = values.get("size") or {}
    edge, sides = size.get("shortest_edge"), _size(size)
    crop = _size(values.get("crop_size")) if values.get("do_center_crop") else None
    share = values.get("crop_pct")
    if not values.get("do_resize"):
        raise MethodError(f"{path}: without do_resize, photographs keep their size; {ADVICE}")
    if values.get("do_flip_channel_order"):
        raise MethodError(f"{path}: do_flip_channel_order: networks that read BGR are not supported")
    if values.get("resample") not in _FILTERS:
        raise MethodError(
            f"{path}: resample {values.get('resample')!r} is none of {', '.join(_FILTERS.values())}; {ADVICE}"
        )
    resize: int | tuple[int, int] | None = None
    if edge is None:
        if sides is None:
            raise MethodError(f"{path}: size {size} is not height and width, or shortest_edge; {ADVICE}")
        crop, resize = (None, None) if crop in (None, sides) else (crop, sides)
    elif share is not None and crop is None and edge >= _WARPED:
        sides = (edge, edge)
    else:
        if crop is None and share is None:
            raise MethodError(
                f"{path}: shortest_edge without do_center_crop gives inputs of many sizes; {ADVICE}"
            )
        resize = int(edge / share) if share is not None else edge
        if str(values.get("image_processor_type")).startswith("Levit"):
            resize = int(_LEVIT * edge)
        crop = crop or (edge, edge)
    base = replace(base, interpolation=_FILTERS[values["resample"]])
    if crop is None:
        return replace(base, size=sides or base.size, crop="none")
    least = (resize, resize) if isinstance(resize, int) else resize
    if least is not None and (least[0] < crop[0] or least[1] < crop[1]):
        raise MethodError(f"{path}: the crop {crop} is larger than what it is cut from; {ADVICE}")
    return replace(base, size=crop, crop="centre", resize=resize, crop_as="transformers")


def _normalised(base: Preprocess, values: Mapping[str, Any], path: Path) -> Preprocess:
    """Mean and standard deviation for pixels in [0, 1].

    A processor multiplies bytes by `rescale_factor`, takes away 1 with `rescale_offset`, and normalises what results:
    ((255 f u - offset) - mean) / std = (u - (mean + offset) / 255 f) / (std / 255 f). EfficientNet's divides by std
    once more with `include_top`.
    """
    channels = base.channels
    normalises = bool(values.get("do_normalize"))
    mean = values.get("image_mean") if normalises else [0.0] * channels
    std = values.get("image_std") if normalises else [1.0] * channels
    if not all(isinstance(v, list | tuple) and len(v) == channels for v in (mean, std)):
        raise MethodError(
            f"{path}: image_mean and image_std do not give a number for each of {channels} channels; {ADVICE}"
        )
    assert mean is not None
    assert std is not None
    rescales = bool(values.get("do_rescale"))
    scale = 255 * (float(values.get("rescale_factor") or 1 / 255) if rescales else 1.0)
    offset = 1.0 if rescales and values.get("rescale_offset") else 0.0
    again = [float(v) for v in values["image_std"]] if values.get("include_top") else [1.0] * channels
    return replace(
        base,
        mean=tuple((float(v) + offset) / scale for v in mean),
        std=tuple(float(v) * more / scale for v, more in zip(std, again, strict=True)),
    )


def _compare(processor: Any, made: Preprocess, path: Path) -> None:
    """Raise MethodError unless the processor makes the tensor that `made` says, of each photograph."""
    std = np.reshape(np.asarray(made.std), (-1, 1, 1))
    rng = np.random.default_rng(0)
    for height, width in _PROBES:
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        picture = Image.fromarray(noise if made.channels == 3 else noise[..., 0])
        try:
            theirs = np.asarray(processor(picture, return_tensors="np")["pixel_values"])
        except Exception as error:  # whatever a processor raises that is not made for photographs
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MethodError(
                f"{path}: {type(processor).__name__} takes no photographs ({text}); {ADVICE}"
            ) from error
        ours = prepare(np.asarray(picture.convert("RGB")), made, TUNED).image.numpy()
        if theirs.shape != (1, *ours.shape) or np.abs((theirs[0] - ours) * std).max() > _TOLERANCE:
            raise MethodError(
                f"{path}: {type(processor).__name__} prepares photographs as no [input] expresses; {ADVICE}"
            )


def _size(value: Any) -> tuple[int, int] | None:
    """(H, W) from a number, a list, or {height, width}."""
    if isinstance(value, Mapping):
        value = [value.get("height"), value.get("width")]
    value = [value, value] if isinstance(value, int) else value
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(side, int) for side in value):
        return value[0], value[1]
    return None

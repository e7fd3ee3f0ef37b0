"""Image classifiers of Hugging Face's transformers, from a folder on this machine.

    birds/config.json  birds/model.safetensors  birds/preprocessor_config.json

The folder holds no code that is run: weights are safetensors only, and `trust_remote_code` is off. Nothing is fetched.
The network returns `ModelOutput.logits`; its layers have the names of transformers' modules.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gfi.domain.errors import MethodError
from gfi.domain.preprocess import Preprocess

CONFIG, INPUT, WEIGHTS, INDEX = (
    "config.json",
    "preprocessor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
)
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Of PIL, by the number in preprocessor_config.json."""


def files_of(folder: Path) -> list[str]:
    """The files that are read, by their names in the folder. Raises MethodError if it holds no image classifier."""
    _json(folder, CONFIG)
    names = [CONFIG, *(name for name in (INPUT,) if (folder / name).is_file())]
    if (folder / WEIGHTS).is_file():
        return [*names, WEIGHTS]
    if not (folder / INDEX).is_file():
        raise MethodError(
            f"{folder} has no {WEIGHTS}; weights of other kinds are not read: load the network with transformers and"
            " save it with save_pretrained(folder)"
        )
    parts = set(_json(folder, INDEX).get("weight_map", {}).values())
    if wrong := [name for name in parts if Path(str(name)).name != name or not (folder / name).is_file()]:
        raise MethodError(f"{folder}: {INDEX} names {wrong[0]!r}, which is not in the folder")
    return [*names, INDEX, *sorted(parts)]


def read_folder(folder: Path) -> nn.Module:
    """The network in a folder. Raises MethodError for one without weights or with code, and for weights that do not
    fit."""
    config = _json(folder, CONFIG)
    files_of(folder)
    if "auto_map" in config:
        raise MethodError(
            f"{folder}: {CONFIG} names code of its own (auto_map), which is not run: write it as file:net.py:build"
        )
    try:
        from transformers import AutoModelForImageClassification
        from transformers.utils import logging
    except ImportError:
        raise MethodError(
            "Hugging Face classifiers need transformers: pip install 'gfi[huggingface]'"
        ) from None
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        module, found = AutoModelForImageClassification.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises whatever a damaged folder makes it meet
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MethodError(f"{folder} is not an image classifier of transformers: {text}") from error
    finally:
        if shown:
            logging.enable_progress_bar()
    for what in ("missing_keys", "mismatched_keys"):
        if names := sorted(map(str, found.get(what) or ())):
            kind = what.removesuffix("_keys")
            raise MethodError(
                f"{folder}: weights do not fit {type(module).__name__}: {kind} {', '.join(names[:5])}"
            )
    for child in module.modules():  # where the folder lies decides no answer
        for holder, name in ((child, "name_or_path"), (getattr(child, "config", None), "_name_or_path")):
            if hasattr(holder, name):
                setattr(holder, name, "")
    return _with_logits(module)


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the classes; () where the folder has none of its own."""
    names = _json(folder, CONFIG).get("id2label") or {}
    try:
        ordered = [str(name) for _, name in sorted((int(index), name) for index, name in names.items())]
    except (AttributeError, ValueError):
        return ()
    return () if all(name == f"LABEL_{index}" for index, name in enumerate(ordered)) else tuple(ordered)


def several_labels(folder: Path) -> bool:
    """Whether the network was trained to decide about each class for itself, so that its output is a sigmoid."""
    return bool(_json(folder, CONFIG).get("problem_type") == "multi_label_classification")


def documented_input(folder: Path, said: Collection[str] = ()) -> Preprocess:
    """The input as the folder says: size, resizing, channels, mean, standard deviation, filter.

    said: the fields that the model file gives itself; about those the folder is not asked. Raises MethodError where the
    folder's processor does what no field of a model file expresses, or does not say what it does.
    """
    config = _json(folder, CONFIG)
    channels = config.get("num_channels", 3)
    base = Preprocess((224, 224)) if channels != 1 else Preprocess((224, 224), 1, (0.5,), (0.5,))
    if not (folder / INPUT).is_file():
        return replace(base, size=_size(config.get("image_size")) or base.size)
    shown = _json(folder, INPUT)
    if shown.get("do_flip_channel_order"):
        raise MethodError(
            f"{folder / INPUT}: do_flip_channel_order: networks that read BGR are not supported"
        )
    base = _resized(base, shown, config)
    if "interpolation" not in said:
        number = shown.get("resample", 2)
        if number not in _FILTERS:
            raise MethodError(
                f"{folder / INPUT}: resample {number!r} is not known; say [input] interpolation"
            )
        base = replace(base, interpolation=_FILTERS[number])
    if not {"mean", "std"} <= set(said):
        mean, std = _normalised(shown, channels, folder / INPUT)
        base = replace(base, mean=mean, std=std)
    return base


def _resized(base: Preprocess, shown: Mapping[str, Any], config: Mapping[str, Any]) -> Preprocess:
    """Size and crop. A processor resizes the shorter side and crops the centre, or resizes both sides."""
    side = shown.get("size")
    size = _size(side) or _size(config.get("image_size")) or base.size
    edge = side.get("shortest_edge") if isinstance(side, dict) else None
    if shown.get("do_center_crop") and (cropped := _size(shown.get("crop_size"))):
        return replace(base, size=cropped, crop="centre", resize=edge if isinstance(edge, int) else None)
    share = shown.get("crop_pct")  # of ConvNeXt: larger inputs are resized without a crop
    if isinstance(edge, int) and isinstance(share, float) and 0 < share <= 1 and edge < 384:
        return replace(base, size=size, crop="centre", resize=int(edge / share))
    return replace(base, size=size, crop="centre" if isinstance(edge, int) and share is None else "none")


def _normalised(
    shown: Mapping[str, Any], channels: int, path: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation for pixels in [0, 1].

    A processor multiplies bytes by `rescale_factor`, takes away 1 with `rescale_offset`, and normalises what results:
    ((255 f u - offset) - mean) / std = (u - (mean + offset) / 255 f) / (std / 255 f).
    """
    mean, std = shown.get("image_mean"), shown.get("image_std")
    if shown.get("do_normalize", mean is not None) is False:
        mean, std = [0.0] * channels, [1.0] * channels
    if not (isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) == channels):
        raise MethodError(
            f"{path}: image_mean and image_std do not give a number for each of {channels} channels; "
            "say mean and std under [input]"
        )
    scale = 255 * (float(shown.get("rescale_factor", 1 / 255)) if shown.get("do_rescale", True) else 1.0)
    offset = 1.0 if shown.get("do_rescale", True) and shown.get("rescale_offset") else 0.0
    return tuple((float(value) + offset) / scale for value in mean), tuple(
        float(value) / scale for value in std
    )


def _size(value: Any) -> tuple[int, int] | None:
    """(H, W) as preprocessor_config.json writes it: a number, {height, width} or {shortest_edge}."""
    if isinstance(value, dict):
        edge = value.get("shortest_edge")
        value = [value.get("height", edge), value.get("width", edge)]
    value = [value, value] if isinstance(value, int) else value
    if isinstance(value, list) and len(value) == 2 and all(isinstance(side, int) for side in value):
        return value[0], value[1]
    return None


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise MethodError(f"{folder} has no readable {name}: {error.strerror}") from None
    except ValueError as error:
        raise MethodError(f"{folder}: {name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MethodError(f"{folder}: {name} is not an object")
    return value


def _with_logits(module: nn.Module) -> nn.Module:
    """The network with logits (N, K) as its output; the names of its modules stay."""
    kind = type(module)

    def forward(self: nn.Module, images: Tensor) -> Tensor:
        logits: Tensor = kind.forward(self, pixel_values=images).logits
        return logits

    module.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return module

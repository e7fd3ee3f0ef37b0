"""Image classifiers of Hugging Face's transformers, from a folder on this machine.

    birds/config.json  birds/model.safetensors  birds/preprocessor_config.json

The folder holds no code that is run: weights are safetensors only, and `trust_remote_code` is off. Nothing is fetched.
The network returns `ModelOutput.logits`; its layers have the names of transformers' modules.
"""

import json
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
_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
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


def documented_input(folder: Path) -> Preprocess:
    """The input as the folder says: size, channels, mean, standard deviation, filter."""
    config = _json(folder, CONFIG)
    shown = _json(folder, INPUT) if (folder / INPUT).is_file() else {}
    given = shown.get("crop_size") if shown.get("do_center_crop") else None
    size = _size(given) or _size(shown.get("size")) or _size(config.get("image_size")) or (224, 224)
    channels = config.get("num_channels", 3)
    base = Preprocess(size)
    if channels == 1:
        base = Preprocess(size, 1, (0.5,), (0.5,))
    if shown.get("do_normalize", True) is False:
        return replace(base, mean=(0.0,) * channels, std=(1.0,) * channels)
    mean, std = (shown.get(name) for name in ("image_mean", "image_std"))
    if isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) == channels:
        base = replace(base, mean=tuple(map(float, mean)), std=tuple(map(float, std)))
    return replace(base, interpolation=_FILTERS.get(shown.get("resample", 2), "bilinear"))


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

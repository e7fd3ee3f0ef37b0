"""Image classifiers of Hugging Face's transformers, from a folder on this machine.

    birds/config.json  birds/model.safetensors  birds/preprocessor_config.json

The folder holds no code that is run: weights are safetensors only, and `trust_remote_code` is off. Nothing is fetched.
The network returns `ModelOutput.logits`; its layers have the names of transformers' modules.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gfi.domain.errors import MethodError

CONFIG, INPUT, WEIGHTS, INDEX = (
    "config.json",
    "preprocessor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
)


def files_of(folder: Path) -> list[str]:
    """The files that are read, by their names in the folder. Raises MethodError if it holds no image classifier."""
    read_json(folder, CONFIG)
    names = [CONFIG, *(name for name in (INPUT,) if (folder / name).is_file())]
    if (folder / WEIGHTS).is_file():
        return [*names, WEIGHTS]
    if not (folder / INDEX).is_file():
        raise MethodError(
            f"{folder} has no {WEIGHTS}; weights of other kinds are not read: load the network with transformers and"
            " save it with save_pretrained(folder)"
        )
    parts = set(read_json(folder, INDEX).get("weight_map", {}).values())
    if wrong := [name for name in parts if Path(str(name)).name != name or not (folder / name).is_file()]:
        raise MethodError(f"{folder}: {INDEX} names {wrong[0]!r}, which is not in the folder")
    return [*names, INDEX, *sorted(parts)]


def read_folder(folder: Path) -> nn.Module:
    """The network in a folder. Raises MethodError for one without weights or with code, and for weights that do not
    fit."""
    config = read_json(folder, CONFIG)
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
    names = read_json(folder, CONFIG).get("id2label") or {}
    try:
        ordered = [str(name) for _, name in sorted((int(index), name) for index, name in names.items())]
    except (AttributeError, ValueError):
        return ()
    return () if all(name == f"LABEL_{index}" for index, name in enumerate(ordered)) else tuple(ordered)


def several_labels(folder: Path) -> bool:
    """Whether the network was trained to decide about each class for itself, so that its output is a sigmoid."""
    return bool(read_json(folder, CONFIG).get("problem_type") == "multi_label_classification")


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The object in a file of the folder. Raises MethodError."""
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

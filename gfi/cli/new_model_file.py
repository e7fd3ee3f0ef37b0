"""Writes a model file for weights that have none: `gfi models add weights.pth --architecture torchvision:resnet18`."""

import json
from pathlib import Path

from gfi.cli.errors import CommandError

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pt2")
"""What files of weights are called."""


def write_model_file(weights: Path, architecture: str, classes: str | None, name: str | None = None) -> Path:
    """Write NAME.toml beside `weights` and return its path. An equal file is left as it is.

    classes: their number, their names with commas between, a file of names, or "imagenet". name: None: that of the
    weights, a file or a folder. Raises CommandError where there is another file of this name, and for weights that do
    not exist.
    """
    if not weights.exists():
        raise CommandError(f"{weights} does not exist")
    file = weights.parent / f"{name or weights.stem}.toml"
    text = _text(weights, architecture, classes)
    if file.exists() and file.read_text(encoding="utf-8", errors="replace") != text:
        raise CommandError(
            f"{file} exists with other content: `gfi models add {file}` registers it; --name chooses another name"
        )
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from None
    return file


def _text(weights: Path, architecture: str, classes: str | None) -> str:
    lines = [f"architecture = {_quoted(architecture)}", f"weights = {_quoted(weights.name)}"]
    if classes is None:
        return "\n".join(lines) + "\n"
    if classes.isdecimal():
        if architecture.startswith("file:"):
            raise CommandError(
                f"{architecture} decides itself how many classes it has: name them, or leave --classes out"
            )
        return "\n".join([*lines, "", "[arguments]", f"num_classes = {int(classes)}"]) + "\n"
    listed = Path(classes)
    if classes == "imagenet":
        lines.append('classes = "imagenet"')
    elif "," in classes:
        lines.append(
            f"classes = [{', '.join(_quoted(one.strip()) for one in classes.split(',') if one.strip())}]"
        )
    elif listed.is_file():
        # a relative path, where there is one, so that the names are copied with the model
        beside = listed.resolve().is_relative_to(weights.parent.resolve())
        path = listed.resolve().relative_to(weights.parent.resolve()) if beside else listed.resolve()
        lines.append(f"classes = {_quoted(path.as_posix())}")
    else:
        raise CommandError(
            f"--classes {classes}: their number, their names with commas, a file of names, or imagenet"
        )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML string

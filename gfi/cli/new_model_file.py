"""Writes a model file for weights that have none: `gfi models add weights.pth --architecture torchvision:resnet18`."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from gfi.cli.errors import CommandError
from gfi.domain.weight_files import SUFFIXES, refusal

BUILT = {"torch.export": "a program", "huggingface": "a folder of transformers"}
"""Architectures whose classes are those of a file, and what they are for people."""


@contextlib.contextmanager
def as_model_file(
    reference: str, architecture: str | None, classes: str | None, name: str | None
) -> Iterator[str]:
    """The model file that is written for weights, to be registered; any other reference as it is.

    A file that was written and could not be registered is removed, so that the next attempt may have other options.
    Raises CommandError for what is neither.
    """
    path = Path(reference)
    # A bare name may be that of a model file on the machine of the service, also where a folder here has it.
    if (path.suffix or "/" in reference) and (reason := refusal(path)) is not None:
        raise CommandError(reason)
    if (path / "config.json").is_file():
        weights, architecture = path.absolute(), architecture or "huggingface"
    elif reference.endswith(SUFFIXES):
        weights = path
        if reference.endswith(".pt2"):
            architecture = architecture or "torch.export"
    else:
        if architecture or classes or name:
            raise CommandError(
                f"--architecture, --classes and --name are for a file of weights ({' '.join(SUFFIXES)}); {reference}"
                " is none"
            )
        yield reference
        return
    if architecture is None:
        raise CommandError(
            f"{reference} holds weights and no network: add --architecture torchvision:NAME, timm:NAME or"
            " file:net.py:build, and --classes with their number or names"
        )
    is_new = not model_file_beside(weights, name).exists()
    file = write_model_file(weights, architecture, classes, name)
    try:
        yield str(file)
    except BaseException:
        if is_new:
            file.unlink(missing_ok=True)
        raise


def model_file_beside(weights: Path, name: str | None = None) -> Path:
    """NAME.toml beside `weights`, a file or a folder; name: None: that of the weights."""
    return weights.parent / f"{name or weights.stem}.toml"


def write_model_file(weights: Path, architecture: str, classes: str | None, name: str | None = None) -> Path:
    """Write NAME.toml beside `weights` and return its path. An equal file is left as it is.

    classes: their number, their names with commas between, a file of names, or "imagenet". name: None: that of the
    weights, a file or a folder. Raises CommandError where there is another file of this name, and for weights that do
    not exist.
    """
    if not weights.exists():
        raise CommandError(f"{weights} does not exist")
    file = model_file_beside(weights, name)
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
        if architecture.startswith("file:") or architecture in BUILT:
            raise CommandError(
                f"{BUILT.get(architecture, architecture)} decides itself how many classes it has: name them, "
                "--classes a,b,c, or leave --classes out"
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

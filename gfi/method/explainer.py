"""Guided feature inversion as a function of tensors, in the manner of captum.

explainer = GuidedFeatureInversion(net)                 # any CNN classifier, inputs already normalised
masks = explainer.attribute(inputs, target=243)         # (N, 1, H, W) in [0, 1]
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gfi.domain import interpolation
from gfi.domain.errors import MethodError
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers
from gfi.method.classifiers import Classifier, Output
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.layers import default_preset
from gfi.method.preprocess import Prepared, Preprocess

Target = int | Sequence[int] | Tensor | None
"""One class for all, one an image, or None for the predicted class."""
Foil = int | Sequence[int] | Tensor | None
"""One class B for all, one an image, or None: "why the target rather than B"."""


class GuidedFeatureInversion:
    """Explains a classifier by the part of an image whose features it kept.

    The network is copied at the first call for an input shape: later changes to its weights are not seen.
    """

    def __init__(
        self,
        net: nn.Module | Classifier,
        preset: str | Recipe | None = None,
        layers: Layers | str | None = None,
        batch: int | None = None,
        output: Output = "softmax",
        preprocess: Preprocess | None = None,
    ) -> None:
        """net: images (N, C, H, W) to outputs (N, K), or a loaded `Classifier`. preset: None takes `tuned`, but
        `paper` for AlexNet, VGG and ResNet.

        layers: `L0,L1` (see `gfi.domain.layer_names`) instead of the automatic choice. batch: images optimised
        together, None: as many as fit; part of the execution profile, so results between two batch sizes differ.
        output and preprocess describe a bare module; preprocess matters only to the fill "mean".
        """
        self.net = net
        if preset is None:
            preset = default_preset(net.module if isinstance(net, Classifier) else net)
        self.recipe = recipe(preset) if isinstance(preset, str) else preset
        self.layers = Layers.parse(layers) if isinstance(layers, str) else layers
        self.batch = batch
        self.output: Output = output
        self.preprocess = preprocess
        self._engines: dict[tuple, Engine] = {}

    def attribute(
        self,
        inputs: Tensor,
        target: Target = None,
        baselines: Tensor | None = None,
        rather_than: Foil = None,
    ) -> Tensor:
        """Masks (N, 1, H, W) in [0, 1], in the dtype and on the device of inputs (N, C, H, W).

        target: one class for all, one an image, or None for the predicted class. baselines: the removed-pixel
        images p, shaped like inputs or broadcast to them; None makes them from the inputs by the recipe -
        for `released`, whose blur is of the full photograph, the input is blurred instead, as
        `explain(...)[i].fill` says. rather_than: a class B, to ask why the target rather than B. An image whose
        mask never existed is all zero; `explain` has statuses.
        """
        explanations = self.explain(inputs, target, baselines, rather_than)
        size, corners = (inputs.shape[2], inputs.shape[3]), self.recipe.align_corners
        drawn = np.stack([interpolation.draw(e.grid, size, corners) for e in explanations])
        return torch.from_numpy(drawn).unsqueeze(1).to(inputs)

    def explain(
        self,
        inputs: Tensor,
        target: Target = None,
        baselines: Tensor | None = None,
        rather_than: Foil = None,
    ) -> list[Explanation]:
        """One `Explanation` an image; arguments as `attribute`."""
        if inputs.ndim != 4 or not len(inputs) or not inputs.is_floating_point():
            raise MethodError(
                f"inputs are normalised images (N, C, H, W), not {tuple(inputs.shape)} of {inputs.dtype}"
            )
        fills = [None] * len(inputs) if baselines is None else list(_like(baselines, inputs))
        targets, foils = _targets(target, len(inputs)), _targets(rather_than, len(inputs))
        size = (inputs.shape[2], inputs.shape[3])
        items = [
            Item(
                i,
                Prepared(image, fill, size, (0.0, 0.0, float(size[1]), float(size[0]))),
                targets[i],
                foils[i],
            )
            for i, (image, fill) in enumerate(zip(inputs.detach(), fills, strict=True))
        ]
        return sorted(self.engine(inputs).explain_many(items), key=lambda e: e.index)

    def engine(self, inputs: Tensor) -> Engine:
        """The engine that inputs of this shape, dtype and device go through; it knows layers and profile."""
        key = (tuple(inputs.shape[1:]), inputs.dtype, inputs.device)
        if key not in self._engines:
            classifier = self.net
            if isinstance(classifier, nn.Module):
                size = (inputs.shape[2], inputs.shape[3])
                classifier = classifiers.from_module(
                    classifier, size, inputs.shape[1], self.output, self.preprocess
                )
            dtype = torch.float64 if inputs.dtype == torch.float64 else torch.float32
            self._engines[key] = Engine(
                classifier, self.recipe, self.layers, inputs.device, self.batch, dtype
            )
        return self._engines[key]


def _like(baselines: Tensor, inputs: Tensor) -> Tensor:
    try:
        return baselines.detach().to(inputs).expand_as(inputs)
    except RuntimeError as error:
        raise MethodError(
            f"baselines {tuple(baselines.shape)} do not fit inputs {tuple(inputs.shape)}"
        ) from error


def _targets(target: Target, count: int) -> list[int | None]:
    if target is None or isinstance(target, int):
        return [target] * count
    values = target.reshape(-1).tolist() if isinstance(target, Tensor) else list(target)
    if len(values) == 1:
        values *= count
    if len(values) != count:
        raise MethodError(f"{len(values)} targets for {count} images")
    return [int(value) for value in values]


def explain_many(
    photographs: Iterable[NDArray[np.uint8]],
    classifier: Classifier | str,
    preset: str | Recipe | None = None,
    *,
    target: int | None = None,
    rather_than: int | None = None,
    layers: Layers | str | None = None,
    device: str | torch.device = "cpu",
    batch: int | None = None,
    progress: Callable[[StepProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Explanation]:
    """Explain a stream of photographs (H, W, 3) uint8 as they are done; index counts them from 0.

    classifier: a `Classifier` or a reference for `gfi.load`. For targets of their own, prepared elsewhere or
    in other threads, feed `Item`s to `Engine.explain_many` instead.
    """
    network = classifiers.load(classifier) if isinstance(classifier, str) else classifier
    preset = network.default_preset if preset is None else preset
    chosen = recipe(preset) if isinstance(preset, str) else preset
    named = Layers.parse(layers) if isinstance(layers, str) else layers
    engine = Engine(network, chosen, named, device, batch)
    items = (Item(i, network.prepare(rgb, chosen), target, rather_than) for i, rgb in enumerate(photographs))
    return engine.explain_many(items, progress, stop)

"""Guided feature inversion as a function of tensors, in the manner of Captum."""

import functools
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gfi.domain.errors import MethodError
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.presets import DEFAULT_PRESET, recipe
from gfi.domain.recipes import Recipe
from gfi.domain.statuses import ImageStatus
from gfi.method import classifiers, suitability
from gfi.method.classifiers import Classifier, Output
from gfi.method.engine import Engine, device_named
from gfi.method.item import Item
from gfi.method.preprocess import Prepared, Preprocess

Classes = int | Sequence[int] | Tensor | NDArray[np.integer] | None
"""One class for all images, one per image, or None."""
Baselines = Tensor | NDArray[np.floating] | float | None
"""What replaces removed pixels: an array of the shape of the inputs or that broadcasts to it, one number, or None."""

if TYPE_CHECKING:

    class Attribution:
        """What Captum's attributions have in common."""

        forward_func: Any

        def __init__(self, forward_func: Any) -> None: ...

else:
    try:
        from captum.attr import Attribution
    except ImportError:  # the extra `peers`

        class Attribution:
            """In place of Captum's class, where Captum is not installed."""

            def __init__(self, forward_func: Any) -> None:
                self.forward_func = forward_func


Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def _wrapped(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """The same function with an attribute `__wrapped__`, by which Captum's NoiseTunnel calls it."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        return function(*args, **kwargs)

    return call


class GuidedFeatureInversion(Attribution):
    """Explains a classifier by the part of an image that preserves its features and its decision.

    The network is copied at the first call for an input shape: later changes to its weights have no effect. Where
    Captum is installed this is one of its attributions (`captum.attr.Attribution`).

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
    device
        Where to compute: "cpu", "cuda:0", … None: where the inputs are.

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
        device: str | torch.device | None = None,
    ) -> None:
        if not isinstance(net, nn.Module | Classifier):
            raise MethodError(
                f"the network is a torch module or a classifier of `gfi.load`, not a {type(net).__name__}"
            )
        super().__init__(net.module if isinstance(net, Classifier) else net)
        self.net = net
        self.device = None if device is None else device_named(device)
        self.recipe = _recipe(preset)
        self.layers = Layers.parse(layers) if isinstance(layers, str) else layers
        self.batch = batch
        self.output: Output = output
        self.preprocess = preprocess
        self.allow_nondeterministic = allow_nondeterministic
        self._engines: dict[tuple, Engine] = {}

    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: Classes = None,
        baselines: Baselines = None,
        foil: Classes = None,
        *,
        rather_than: Classes = None,
        progress: Callable[[StepProgress], None] | None = None,
    ) -> Tensor: ...

    @overload
    def attribute(
        self,
        inputs: NDArray[np.floating],
        target: Classes = None,
        baselines: Baselines = None,
        foil: Classes = None,
        *,
        rather_than: Classes = None,
        progress: Callable[[StepProgress], None] | None = None,
    ) -> NDArray[np.floating]: ...

    @_wrapped
    def attribute(
        self,
        inputs: Tensor | NDArray[np.floating],
        target: Classes = None,
        baselines: Baselines = None,
        foil: Classes = None,
        *,
        rather_than: Classes = None,
        progress: Callable[[StepProgress], None] | None = None,
    ) -> Tensor | NDArray[np.floating]:
        """The masks of a batch of images.

        Parameters
        ----------
        inputs
            (N, C, H, W), normalised, float32 or float64; a tensor or a numpy array.
        target
            One class for all images, one per image, or None for the predicted class.
        baselines
            The removed-pixel images p, normalised: of the shape of `inputs` or broadcast to it; or one number, such as
            0, the mean that the normalisation subtracts. None: made from the inputs as the recipe says; the blur of
            `released`, which is of the full photograph, becomes a blur of the input.
        foil
            The class that the target is contrasted with: one for all images or one per image.
        rather_than
            Another name for `foil`.
        progress
            Called after every optimiser step.

        Returns
        -------
        Tensor
            (N, 1, H, W) in [0, 1], in the type, in the dtype and on the device of `inputs`. An image that never had a
            mask is all zero; `explain` returns statuses too.

        Warns
        -----
        StatusWarning
            If a mask's status is not `ok`; the warning names the images.

        Raises
        ------
        MethodError
            For inputs, classes or baselines that do not fit each other or the network, and for a network that cannot
            be explained: without gradients, or with answers that depend on neighbours or chance.
        OutOfMemory
            If a batch does not fit the device.
        """
        explanations = self.explain(
            inputs, target, baselines, foil, rather_than=rather_than, progress=progress
        )
        _warn_of_statuses(explanations)
        masks = np.stack([e.mask for e in explanations])[:, None]
        if isinstance(inputs, np.ndarray):
            return masks.astype(np.float64 if inputs.dtype == np.float64 else np.float32)
        return torch.from_numpy(masks).to(inputs)

    def explain(
        self,
        inputs: Tensor | NDArray[np.floating],
        target: Classes = None,
        baselines: Baselines = None,
        foil: Classes = None,
        *,
        rather_than: Classes = None,
        progress: Callable[[StepProgress], None] | None = None,
    ) -> list[Explanation]:
        """One `Explanation` per image, in order. Parameters and errors are those of `attribute`."""
        images = self._images(inputs)
        n, size = len(images), (images.shape[2], images.shape[3])
        fills = [None] * n if baselines is None else list(_expanded(baselines, images))
        names = self.net.class_names if isinstance(self.net, Classifier) else ()
        targets = _per_image(target, n, "target", names)
        foils = _per_image(_only_one(foil, rather_than), n, "foil", names)
        box = (0.0, 0.0, float(size[1]), float(size[0]))
        items = [
            Item(i, Prepared(image, fills[i], size, box), targets[i], foils[i])
            for i, image in enumerate(images)
        ]
        return sorted(self.engine(images).explain_many(items, progress), key=lambda e: e.index)

    def layers_for(self, inputs: Tensor | NDArray[np.floating]) -> Layers:
        """The layers that are used for inputs of this shape: those given, or those that the preset chooses."""
        return self.engine(self._images(inputs)).layers

    def _images(self, inputs: Tensor | NDArray[np.floating]) -> Tensor:
        """The inputs as a tensor on the device. Raises MethodError for what is not a batch of normalised images."""
        if not isinstance(inputs, Tensor | np.ndarray):
            raise MethodError(
                f"inputs are normalised images (N, C, H, W), a tensor or a numpy array, not {type(inputs).__name__}"
            )
        images = torch.as_tensor(inputs).detach()
        if images.ndim != 4 or not len(images) or not images.is_floating_point():
            raise MethodError(
                f"inputs are normalised images (N, C, H, W), not {tuple(images.shape)} of {inputs.dtype}"
                + ("; gfi.explain_many takes photographs" if images.dtype == torch.uint8 else "")
            )
        return images if self.device is None else images.to(self.device)

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


def _recipe(preset: str | Recipe | None) -> Recipe:
    """The recipe of a preset by its name; None: of the default."""
    if preset is None or isinstance(preset, str):
        return recipe(preset or DEFAULT_PRESET)
    if not isinstance(preset, Recipe):
        raise MethodError(f"a preset is a name, such as {DEFAULT_PRESET}, or a Recipe, not {preset!r}")
    return preset


def _only_one(foil: Any, rather_than: Any) -> Any:
    """The foil, by either name; raises MethodError if both were given."""
    if foil is not None and rather_than is not None:
        raise MethodError("`rather_than` is another name of `foil`; give only one of them")
    return rather_than if foil is None else foil


def _expanded(baselines: Tensor | NDArray[np.floating] | float, inputs: Tensor) -> Tensor:
    """`baselines` in the shape, dtype and device of `inputs`."""
    if isinstance(baselines, bool) or not isinstance(
        baselines, Tensor | np.ndarray | int | float | np.number
    ):
        raise MethodError(
            f"baselines are normalised images (N, C, H, W), a tensor or a numpy array, or a number, not {baselines!r}"
        )
    given = torch.as_tensor(baselines).detach().to(inputs)
    try:
        made = given.expand_as(inputs)
    except RuntimeError as error:
        raise MethodError(
            f"baselines {tuple(given.shape)} do not fit inputs {tuple(inputs.shape)}"
        ) from error
    if not given.isfinite().all():
        raise MethodError("baselines are finite numbers; there are NaN or infinite ones")
    return made


def _per_image(classes: Classes, count: int, what: str, class_names: Sequence[str] = ()) -> list[int | None]:
    """One class, or None, for each of `count` images.

    what: "target" or "foil", for messages. Raises MethodError for what is not a number of a class.
    """
    if classes is None:
        return [None] * count
    if isinstance(classes, Tensor | np.ndarray):
        classes = classes.reshape(-1).tolist()
    values = list(classes) if isinstance(classes, Sequence) and not isinstance(classes, str) else [classes]
    numbers: list[int | None] = [_class_number(value, what, class_names) for value in values]
    if len(numbers) == 1:
        numbers *= count
    if len(numbers) != count:
        raise MethodError(f"{len(numbers)} {what}s for {count} images")
    return numbers


def _class_number(value: object, what: str, class_names: Sequence[str]) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value in class_names:
        raise MethodError(
            f"{what} {value!r}: a class is given by its number; {value} is {class_names.index(value)}"
        )
    known = " (`class_names` of the classifier has their order)" if class_names else ""
    raise MethodError(f"{what} {value!r} is not a class: give its number from 0, a whole number{known}")


class StatusWarning(UserWarning):
    """Some masks have a status other than `ok`."""


def _warn_of_statuses(explanations: Sequence[Explanation]) -> None:
    """Warn of masks that explain little, with their images by status."""
    images: dict[str, list[str]] = {}
    for one in explanations:
        if one.status is not ImageStatus.OK:
            images.setdefault(one.status.value, []).append(str(one.index))
    if images:
        said = "; ".join(
            f"{status}: {', '.join(numbers[:10])}{' …' if len(numbers) > 10 else ''}"
            for status, numbers in images.items()
        )
        warnings.warn(
            f"{sum(map(len, images.values()))} of {len(explanations)} masks are not `ok` ({said}); `explain` returns"
            " the statuses",
            StatusWarning,
            stacklevel=4,  # the caller of `attribute`
        )


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
    if not isinstance(network, Classifier):
        raise MethodError(
            f"the classifier is one of `gfi.load`, or its reference, not a {type(network).__name__}; for a network in"
            " memory: gfi.method.classifiers.from_module(net, (height, width))"
        )
    hyperparameters = _recipe(preset)
    names = network.class_names
    number = None if target is None else _class_number(target, "target", names)
    other = None if foil is None else _class_number(foil, "foil", names)
    named_layers = Layers.parse(layers) if isinstance(layers, str) else layers
    suitability.check_suitable(network)
    engine = Engine(network, hyperparameters, named_layers, device, batch)
    items = (
        Item(i, network.prepare(rgb, hyperparameters), number, other) for i, rgb in enumerate(photographs)
    )
    return engine.explain_many(items, progress, stop)

"""Explains a stream of prepared images at one fixed batch shape.

    engine = Engine(load("efficientnet-lite0"), PAPER, batch=8)
    for explanation in engine.explain_many(items):
        ...

The batch is padded if images are missing, so an image alone runs exactly as the same image among others: on the CPU,
masks are bit-equal whatever the slot, the neighbours or the stream. That holds within one execution profile
(`gfi.domain.profile`); another batch size, thread count, precision or device is another profile.

How images share a batch is in `gfi.method.pool`.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from gfi.domain.errors import MethodError, OutOfMemory, Stopped
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.profile import Profile
from gfi.domain.recipes import Recipe
from gfi.method.batch_invariance import whole_batch
from gfi.method.classifiers import Classifier
from gfi.method.cuda_graphs import StepGraphs
from gfi.method.fills import make_fill
from gfi.method.inversion import Inversion
from gfi.method.item import Item
from gfi.method.layers import LayerChoice, rectified
from gfi.method.memory import fitting_batch
from gfi.method.network import Network
from gfi.method.pool import Pool
from gfi.method.precision import precision_of
from gfi.method.preprocess import Prepared
from gfi.method.transfers import Uploads

_FITTING: dict[tuple[object, ...], int] = {}
"""Batches that fit, by model, method, device, precision and input shape: measured once per process."""


class Advancing(Protocol):
    """The images in work of one stream."""

    def advance(self) -> list[Explanation] | None:
        """Work to the next point where images may end. Returns the explanations of those that ended, and None once no
        image is left."""
        ...


class Engine:
    """A classifier and a recipe on one device, with a fixed batch. Not thread-safe: one stream at a time.

    Parameters
    ----------
    classifier
        The network to explain; the engine works on a private copy.
    recipe
        The hyper-parameters, for instance `gfi.domain.presets.PAPER`.
    layers
        Replaces the layers that the recipe chooses on this network.
    device
        "cpu", a CUDA device such as "cuda:0", or "mps" (Apple's GPUs; never tested).
    batch
        Images optimised together, at least 1, rounded down to 1, 2 or a multiple of 4. None takes as many as fit into
        the free memory of the device. `profile.batch` says how many it is.
    dtype
        A name in `gfi.method.precision.PRECISIONS`, such as "bfloat16", in which only the network computes in bfloat16;
        or torch.float32, torch.float64 or torch.bfloat16.

    Raises
    ------
    MethodError
        For an unusable device, precision or batch, and for layers that the network does not have.
    OutOfMemory
        If not even the network fits the device.

    Examples
    --------
    >>> import torch
    >>> from gfi.domain.presets import recipe
    >>> from gfi.method.classifiers import from_module
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(),
    ...     torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 5))
    >>> engine = Engine(from_module(net, (32, 32)), recipe("paper", steps_class=5), batch=2)
    >>> image = Prepared(torch.rand(3, 32, 32), None, (32, 32), (0.0, 0.0, 32.0, 32.0))
    >>> [(x.key, x.target, x.grid.shape) for x in engine.explain_many([Item(0, image, target=3)])]
    [(0, 3, (16, 16))]
    """

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        layers: Layers | None = None,
        device: str | torch.device = "cpu",
        batch: int | None = None,
        dtype: str | torch.dtype = torch.float32,
    ) -> None:
        if batch is not None and (not isinstance(batch, int) or batch < 1):
            raise MethodError(f"a batch holds at least one image, a whole number of them, not {batch!r}")
        self.device = device_named(device)
        self.precision = precision_of(dtype, self.device)
        self.classifier = classifier
        self.recipe = recipe
        self.batch = whole_batch(batch or 1)
        self.layer_choice = LayerChoice(layers, "given") if layers else classifier.layer_choice(recipe)
        with self.memory_errors():
            # With channels last, oneDNN's float32 kernels run EfficientNet-Lite0 1.3 times as fast. On a GPU the layout
            # helps in bfloat16 and TF32 only, because the matrix units do not compute in float32.
            nhwc = self.dtype == (torch.float32 if self.device.type == "cpu" else torch.bfloat16)
            nhwc = nhwc or self.precision.tf32
            self.network = Network(
                classifier, self.layer_choice.layers, self.device, self.dtype, channels_last=nhwc
            )
        self._refuse_signed_layers()
        self._upload = Uploads(self.device)
        self._threads = torch.get_num_threads()
        if batch is None:
            self.batch = self._fitting_batch()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the network."""
        return self.precision.dtype

    @property
    def layers(self) -> Layers:
        """The layers in use."""
        return self.layer_choice.layers

    @cached_property
    def profile(self) -> Profile:
        """The execution profile of this engine's masks."""
        cuda = self.device.type == "cuda"
        kind = f"cuda:{torch.cuda.get_device_name(self.device)}" if cuda else self.device.type
        return Profile(
            model_digest=self.classifier.digest,
            device_kind=kind,
            dtype=self.precision.name,
            threads=self._threads,
            resolution=self.classifier.preprocess.size,
            batch=self.batch,
        )

    def _fitting_batch(self) -> int:
        """The batch that fits the device's free memory now."""
        shape = (self.classifier.preprocess.channels, *self.classifier.preprocess.size)
        key = (
            self.classifier.digest,
            self.recipe.digest(),
            str(self.layers),
            str(self.device),
            self.precision.name,
            shape,
        )
        if key not in _FITTING:
            with self.memory_errors(), self.exact():
                _FITTING[key] = self._measured_batch(shape)
        return _FITTING[key]

    def _measured_batch(self, shape: tuple[int, int, int]) -> int:
        fits = fitting_batch(self.network, self.recipe, shape, self.device)
        # A graph keeps the memory of a step beside that of the work between steps.
        return max(1, fits // 2) if self.precision.graphs else fits

    def check(self, item: Item) -> None:
        """Raise MethodError if `item` does not fit the classifier, as `explain_many` does."""
        shape = (self.classifier.preprocess.channels, *self.classifier.preprocess.size)
        for tensor in (item.prepared.image, item.prepared.fill):
            if tensor is not None and tuple(tensor.shape) != shape:
                raise MethodError(f"image {item.key} is {tuple(tensor.shape)}, the network's input {shape}")
        last = self.classifier.classes - 1
        for name, number in (("target", item.target), ("foil (`rather_than`)", item.foil)):
            if number is not None and not 0 <= number <= last:
                raise MethodError(
                    f"image {item.key}: {name} {number} is not a class; classes are 0 to {last}"
                )
        if item.target is not None and item.target == item.foil:
            raise MethodError(
                f"image {item.key}: the target and the class to contrast it with are both {item.target};"
                " choose another foil (`rather_than`)"
            )

    def most_probable(self, prepared: Prepared, count: int) -> list[int]:
        """The `count` most probable classes of one prepared image, the most probable first."""
        order = self.probabilities_of(prepared).argsort(descending=True, stable=True)
        return [int(number) for number in order[:count]]

    @torch.no_grad()
    def probabilities_of(self, prepared: Prepared) -> Tensor:
        """f of one prepared image alone, (K,)."""
        image = prepared.image[None].to(self.device, self.network.dtype)
        return self.network.probabilities(image.contiguous(memory_format=self.network.memory_format))[0]

    def explain_many(
        self,
        items: Iterable[Item],
        progress: Callable[[StepProgress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Explanation]:
        """Explain a stream of images.

        Parameters
        ----------
        items
            Pulled as they are needed, `batch` at a time.
        progress
            Called after every optimiser step.
        stop
            When it is set, Stopped is raised within one step.

        Yields
        ------
        Explanation
            As images are done; `Explanation.key` says which image it is. Without early settling, in the order of
            the stream.

        Raises
        ------
        MethodError
            For an image or class that does not fit the classifier.
        OutOfMemory
            If a batch does not fit the device; `suggested` is a smaller batch for the next engine.
        Stopped
            After `stop` was set.
        """
        steps = 0

        def tick(in_flight: tuple[Any, ...]) -> None:
            nonlocal steps
            steps += 1
            if progress is not None:
                progress(StepProgress(steps, in_flight))
            if stop is not None and stop.is_set():
                raise Stopped(f"stopped with {len(in_flight)} images in flight")

        pool = self._pool(iter(items), tick)
        while True:
            if torch.get_num_threads() != self._threads:
                torch.set_num_threads(self._threads)  # the setting is per thread
            with self.memory_errors():
                explanations = pool.advance()
            if explanations is None:
                return
            yield from explanations

    def _pool(self, stream: Iterator[Item], tick: Callable[[tuple[Any, ...]], None]) -> "Advancing":
        """The images in work; a subclass with another method returns its own."""
        return Pool(self, stream, tick)

    @cached_property
    def step_graphs(self) -> StepGraphs | None:
        """The CUDA graphs of this engine's steps; None if the precision has none."""
        return StepGraphs(self.device) if self.precision.graphs else None

    def begin(self, group: list[Item], fills: list[Tensor]) -> Inversion:
        """A batch of at most `batch` images with their fills, ready for its first step."""
        inversion = Inversion(self.network, self.recipe, self.batch)
        two_fills = self.recipe.second_fill != "none"
        padding: list[int | None] = [None] * (self.batch - len(group))
        inversion.start(
            images=self.padded([item.prepared.image for item in group]),
            fills=self.padded(fills),
            targets=[item.target for item in group] + padding,
            second_fills=self.padded([self._second_fill(item) for item in group]) if two_fills else None,
            foils=[item.foil for item in group] + padding,
        )
        return inversion

    def padded(self, images: list[Tensor]) -> Tensor:
        """A whole batch (B, C, H, W), in which the first image fills the missing rows."""
        rows = images + images[:1] * (self.batch - len(images))
        return self._upload(torch.stack([row.to(self.network.dtype) for row in rows]))

    def fill_of(self, item: Item) -> tuple[Tensor, str]:
        """p of one image, (C, H, W), and `Explanation.fill`."""
        if item.prepared.fill is not None:
            return item.prepared.fill, "given"
        # Everything that decides bits is computed in the engine's precision and with its thread count.
        image = item.prepared.image.to("cpu", self.network.dtype)
        made = make_fill(image, self.classifier.preprocess, self.recipe)
        return made, "input blurred" if self.recipe.fill == "blur" else self.recipe.fill

    def _second_fill(self, item: Item) -> Tensor:
        """The second p of one image, (C, H, W)."""
        image = item.prepared.image.to("cpu", self.network.dtype)
        return make_fill(image, self.classifier.preprocess, self.recipe, self.recipe.second_fill)

    def _refuse_signed_layers(self) -> None:
        """Raise MethodError if the recipe divides by the map's maximum and a layer has negative values."""
        for layer in self.layers.mask_layers if self.recipe.normalise == "image" else ():
            if rectified(layer, self.classifier.calls) != layer:
                raise MethodError(
                    f"layer `{layer}` has negative values, and preset `{self.recipe.name}` divides by the"
                    f" map's maximum; use `{layer}:relu`"
                )

    @contextlib.contextmanager
    def memory_errors(self) -> Iterator[None]:
        """Turn out-of-memory errors of the device and the host into OutOfMemory with advice."""
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            host = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
            if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and not host:
                raise
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemory(self.batch, self.batch // 2 or None) from None

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Deterministic arithmetic on CUDA: TF32 only in the precision of that name, no kernels chosen by timing."""
        if self.device.type != "cuda":
            yield
            return
        matmul = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.precision.tf32
        try:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=self.precision.tf32
            ):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = matmul


def device_named(name: str | torch.device) -> torch.device:
    """The device of this name; raises MethodError if it is unknown, unsupported or missing."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MethodError(f"`{name}` is not a device; use cpu or cuda:0") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise MethodError(f"device `{name}` is not supported; use cpu, cuda:0 or mps")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise MethodError(f"this machine has no device `{name}`: torch sees no Apple GPU; use cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MethodError(f"this machine has no device `{name}`; torch sees {torch.cuda.device_count()} GPUs")
    return device

"""A stream of prepared photographs through the optimiser, at one fixed batch shape.

    engine = Engine(load("efficientnet-lite0"), PAPER, batch=8)
    for explanation in engine.explain_many(items):
        ...

The batch is padded where images are missing, so one image alone runs exactly as the same image among others: on
the CPU masks are bit-equal whatever the slot, the neighbours or the stream. That holds within one execution
`Profile`; another batch size, thread count, precision or device is another profile.

How images share a batch is in `gfi.method.pool`. The stream is pulled as it is needed, `batch` items at a time; results
come as they settle, in the order of the stream where nothing settles early.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import torch
from torch import Tensor

from gfi.domain.errors import MethodError, OutOfMemory, Stopped
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.profile import Profile
from gfi.domain.recipes import Recipe
from gfi.method.batch_invariance import whole_batch
from gfi.method.classifiers import Classifier
from gfi.method.fills import make_fill
from gfi.method.inversion import Inversion
from gfi.method.item import Item
from gfi.method.layers import Chosen, rectified
from gfi.method.memory import fitting_batch
from gfi.method.network import Network
from gfi.method.pool import Pool
from gfi.method.preprocess import Prepared

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}

_FITTING: dict[tuple[object, ...], int] = {}


class Engine:
    """A classifier, a recipe and a fixed batch on one device. Not thread-safe: one stream at a time."""

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        layers: Layers | None = None,
        device: str | torch.device = "cpu",
        batch: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """layers: replaces the network's own choice. batch: images optimised together, at least 1, made a
        `whole_batch`; None takes what the device's free memory allows (`gfi.method.memory`). `profile` says what it is.
        dtype: float32, float64, or bfloat16, in which the network alone then computes.
        """
        if dtype not in DTYPES.values():
            raise MethodError(f"{dtype} is no precision of the optimiser; it has {', '.join(DTYPES)}")
        if batch is not None and batch < 1:
            raise MethodError(f"a batch holds at least one image, not {batch}")
        self.device = _device(device)
        self.classifier = classifier
        self.recipe = recipe
        self.batch = whole_batch(batch or 1)
        self.dtype = dtype
        self.chosen = Chosen(layers, "given") if layers else classifier.chosen(recipe)
        with self._memory():
            # oneDNN's float32 kernels run EfficientNet-Lite0 1.3 times as fast with the channels last.
            # So do the matrix units of a GPU, which have no float32.
            nhwc = dtype == (torch.float32 if self.device.type == "cpu" else torch.bfloat16)
            self.network = Network(classifier, self.chosen.layers, self.device, dtype, channels_last=nhwc)
        self._refuse_signed()
        self._threads = torch.get_num_threads()
        if batch is None:
            self.batch = self._fitting_batch()

    @property
    def layers(self) -> Layers:
        """The layers in use."""
        return self.chosen.layers

    @cached_property
    def profile(self) -> Profile:
        """The execution profile that every mask of this engine belongs to."""
        kind = "cpu" if self.device.type == "cpu" else f"cuda:{torch.cuda.get_device_name(self.device)}"
        return Profile(
            self.classifier.digest, kind, str(self.dtype).removeprefix("torch."), self._threads,
            self.classifier.preprocess.size, self.batch,
        )  # fmt: skip

    def _fitting_batch(self) -> int:
        """What fits, found once a process for this model, method, device and resolution."""
        shape = (self.classifier.preprocess.channels, *self.classifier.preprocess.size)
        key = (
            self.classifier.digest,
            self.recipe.digest(),
            str(self.layers),
            str(self.device),
            self.dtype,
            shape,
        )
        if key not in _FITTING:
            with self._memory(), self.exact():
                _FITTING[key] = fitting_batch(self.network, self.recipe, shape, self.device)
        return _FITTING[key]

    def check(self, item: Item) -> None:
        """Raise MethodError if `item` does not fit the classifier; `explain_many` does so too."""
        shape = (self.classifier.preprocess.channels, *self.classifier.preprocess.size)
        for tensor in (item.prepared.image, item.prepared.fill):
            if tensor is not None and tuple(tensor.shape) != shape:
                raise MethodError(f"image {item.index} is {tuple(tensor.shape)}, the network's input {shape}")
        last = self.classifier.classes - 1
        for what, number in (("target", item.target), ("rather_than", item.foil)):
            if number is not None and not 0 <= number <= last:
                raise MethodError(f"image {item.index}: {what} {number} is no class; they are 0 to {last}")
        if item.target is not None and item.target == item.foil:
            raise MethodError(
                f"image {item.index}: the target and the class to contrast it with are both {item.target};"
                " choose another `rather_than`"
            )

    @torch.no_grad()
    def most_probable(self, prepared: Prepared, count: int) -> list[int]:
        """The `count` most probable classes of one prepared image, by falling probability."""
        image = prepared.image[None].to(self.device, self.network.dtype)
        image = image.contiguous(memory_format=self.network.memory_format)
        order = self.network.probabilities(image)[0].argsort(descending=True, stable=True)
        return [int(each) for each in order[:count]]

    def explain_many(
        self,
        items: Iterable[Item],
        progress: Callable[[StepProgress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Explanation]:
        """Explanations of `items`, which are pulled lazily, as they are done: `Explanation.index` says whose.

        progress is called after every step; when `stop` is set, Stopped is raised within one step.
        OutOfMemory says which smaller batch to build the next engine with.
        """
        steps = 0

        def tick(indices: tuple[int, ...]) -> None:
            nonlocal steps
            steps += 1
            if progress is not None:
                progress(StepProgress(steps, indices))
            if stop is not None and stop.is_set():
                raise Stopped(f"stopped with {len(indices)} images in flight")

        pool = Pool(self, iter(items), tick)
        while True:
            if torch.get_num_threads() != self._threads:
                torch.set_num_threads(self._threads)  # another thread may hold another setting
            with self._memory():
                explanations = pool.advance()
            if explanations is None:
                return
            yield from explanations

    def begin(self, group: list[Item], fills: list[Tensor]) -> Inversion:
        """A batch of at most `batch` images, examined and ready for its first step."""
        inversion = Inversion(self.network, self.recipe, self.batch)
        second = self.recipe.second_fill != "none"
        inversion.start(
            self._padded([item.prepared.image for item in group]),
            self._padded(fills),
            [item.target for item in group] + [None] * (self.batch - len(group)),
            self._padded([self._second_fill(item) for item in group]) if second else None,
            [item.foil for item in group] + [None] * (self.batch - len(group)),
        )
        return inversion

    def _padded(self, images: list[Tensor]) -> Tensor:
        """The fixed batch shape (B, C, H, W): the first image again wherever there is none."""
        rows = images + images[:1] * (self.batch - len(images))
        return torch.stack([row.to(self.device, self.network.dtype) for row in rows])

    def fill_of(self, item: Item) -> tuple[Tensor, str]:
        """p of one image, and how it came to be."""
        if item.prepared.fill is not None:
            return item.prepared.fill, "given"
        # In the engine's precision and, like all that decides bits, on the engine's thread.
        image = item.prepared.image.to("cpu", self.network.dtype)
        made = make_fill(image, self.classifier.preprocess, self.recipe)
        return made, "input blurred" if self.recipe.fill == "blur" else self.recipe.fill

    def _second_fill(self, item: Item) -> Tensor:
        """The recipe's other p, of one image."""
        image = item.prepared.image.to("cpu", self.network.dtype)
        return make_fill(image, self.classifier.preprocess, self.recipe, self.recipe.second_fill)

    def _refuse_signed(self) -> None:
        """(m − min)/max is a mask only where the map is not negative."""
        for layer in self.layers.mask_layers if self.recipe.normalise == "image" else ():
            if rectified(layer, self.classifier.calls) != layer:
                raise MethodError(
                    f"layer `{layer}` has negative values, and preset `{self.recipe.name}` divides by the"
                    f" map's maximum; use `{layer}:relu`"
                )

    @contextlib.contextmanager
    def _memory(self) -> Iterator[None]:
        """Turn the device's and the host's out-of-memory into OutOfMemory with advice."""
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
        """On CUDA: no TF32, no benchmark that picks kernels by timing."""
        if self.device.type != "cuda":
            yield
            return
        matmul = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = matmul


def _device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise MethodError(f"`{device}` is no device; use cpu or cuda:0") from error
    if found.type not in ("cpu", "cuda"):
        raise MethodError(f"device `{device}` is not supported; use cpu or cuda:0")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise MethodError(f"there is no device `{device}` here; torch sees {torch.cuda.device_count()} GPUs")
    return found

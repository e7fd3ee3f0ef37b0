"""A stream of prepared photographs through the optimiser, at one fixed batch shape.

    engine = Engine(load("efficientnet-lite0"), PAPER, batch=8)
    for explanation in engine.explain_many(items):
        ...

The last batch is padded, so one image alone runs exactly as the same image among others: on the CPU masks are
bit-equal whatever the slot, the neighbours or the stream. That holds within one execution `Profile`; another
batch size, thread count, precision or device is another profile.

The stream is pulled as it is needed, `batch` items at a time, and results come in its order.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfi import fill
from gfi.classifiers import Classifier
from gfi.errors import MethodError, OutOfMemory, Stopped
from gfi.inversion import Fate, Inversion, Outcome
from gfi.layer_names import Layers
from gfi.layers import Chosen, rectified
from gfi.network import Network
from gfi.preprocess import Prepared
from gfi.recipes import Recipe

Status = Literal["ok", "empty", "full", "constant", "nonfinite", "target_lost", "not_settled"]

EMPTY_AREA = 0.001
"""A mask whose mean is below this covers no visible part of the image: status `empty`. (One cell of a
14×14 grid is 0.005.)"""
FULL_AREA = 0.95
"""A mask whose mean is above this leaves nothing out: status `full`."""
TARGET_KEPT = 0.1
"""Where the target was the prediction and the kept image has less than this share of its probability, the
mask does not explain it: status `target_lost`."""

DEFAULT_BATCH = 4
"""On a CPU the time an image takes hardly depends on the batch (EfficientNet-Lite0, `paper`, one core: 11.3,
10.0, 10.8, 12.0 s at 1, 2, 4, 8), while memory (2 GB at 8) and the padding of the last batch grow with it. A
GPU wants more."""


@dataclass(frozen=True)
class Profile:
    """What must be equal for two runs to give the same bits (on the same kind of processor)."""

    model_digest: str
    device_kind: str
    """"cpu" or "cuda:<name of the card>"."""
    dtype: str
    threads: int
    resolution: tuple[int, int]
    """(H, W) of the input."""
    batch: int

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {**asdict(self), "resolution": list(self.resolution)}


@dataclass(frozen=True, eq=False)
class Item:
    """One photograph to explain."""

    index: int
    """The caller's own number; it comes back with the explanation."""
    prepared: Prepared
    target: int | None = None
    """A class, or None for the predicted one."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The mask of one photograph and what it does to the prediction."""

    index: int
    target: int
    prediction: int
    probability: float
    kept: float
    removed: float
    """f of the target: on the photograph, where only the masked part is kept, where only it is removed."""
    grid: NDArray[np.float32]
    """(h, w), scaled; `interpolation.draw(grid, input size, recipe.align_corners)` is the mask in [0, 1]."""
    iterations: int
    """Updates behind the mask: fewer than the recipe's where the image froze."""
    status: Status
    area: float
    """Mean of the mask over the input, in [0, 1]."""
    loss: float
    fill: str
    """What stood in for removed pixels: "given" with the image, "input blurred", "mean" or "noise"."""


class Progress(NamedTuple):
    """Told after every optimiser step."""

    step: int
    """Steps since the stream began; it always grows."""
    indices_in_flight: tuple[int, ...]


class Engine:
    """A classifier, a recipe and a fixed batch on one device. Not thread-safe: one stream at a time."""

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        layers: Layers | None = None,
        device: str | torch.device = "cpu",
        batch: int = DEFAULT_BATCH,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """layers: replaces the network's own choice. batch: images optimised together, at least 1."""
        if batch < 1:
            raise MethodError(f"a batch holds at least one image, not {batch}")
        self.device = _device(device)
        self.classifier = classifier
        self.recipe = recipe
        self.batch = batch
        self.dtype = dtype
        self.chosen = Chosen(layers, "given") if layers else classifier.chosen(recipe)
        with self._memory():
            # oneDNN's float32 kernels run EfficientNet-Lite0 1.3 times as fast with the channels last.
            nhwc = self.device.type == "cpu" and dtype == torch.float32
            self.network = Network(classifier, self.chosen.layers, self.device, dtype, channels_last=nhwc)
        self._refuse_signed()
        self._threads = torch.get_num_threads()

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

    def check(self, item: Item) -> None:
        """Raise MethodError if `item` does not fit the classifier; `explain_many` does so too."""
        shape = (self.classifier.preprocess.channels, *self.classifier.preprocess.size)
        for tensor in (item.prepared.image, item.prepared.fill):
            if tensor is not None and tuple(tensor.shape) != shape:
                raise MethodError(f"image {item.index} is {tuple(tensor.shape)}, the network's input {shape}")
        if item.target is not None and not 0 <= item.target < self.classifier.classes:
            last = self.classifier.classes - 1
            raise MethodError(f"image {item.index}: target {item.target} is no class; they are 0 to {last}")

    def explain_many(
        self,
        items: Iterable[Item],
        progress: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Explanation]:
        """Explanations in the order of `items`, pulled lazily.

        progress is called after every step; when `stop` is set, Stopped is raised within one step.
        OutOfMemory says which smaller batch to build the next engine with.
        """
        stream = iter(items)
        steps = 0

        def tick(indices: tuple[int, ...]) -> None:
            nonlocal steps
            steps += 1
            if progress is not None:
                progress(Progress(steps, indices))
            if stop is not None and stop.is_set():
                raise Stopped(f"stopped with {len(indices)} images in flight")

        while group := list(itertools.islice(stream, self.batch)):
            if torch.get_num_threads() != self._threads:
                torch.set_num_threads(self._threads)  # another thread may hold another setting
            for item in group:
                self.check(item)
            with self._memory():
                explanations = self._explain(group, tick)
            yield from explanations

    def _explain(self, group: list[Item], tick: Callable[[tuple[int, ...]], None]) -> list[Explanation]:
        indices = tuple(item.index for item in group)
        fills = [self._fill(item) for item in group]
        inversion = Inversion(self.network, self.recipe, self.batch)
        with self._exact():
            inversion.start(
                self._padded([item.prepared.image for item in group]),
                self._padded([made for made, _ in fills]),
                [item.target for item in group] + [None] * (self.batch - len(group)),
                self._padded([self._second_fill(item) for item in group])
                if self.recipe.second_fill != "none"
                else None,
            )
            while not inversion.done:
                inversion.step()
                tick(indices)
            outcome = inversion.finish()
        return [_explanation(item.index, row, outcome, fills[row][1]) for row, item in enumerate(group)]

    def _padded(self, images: list[Tensor]) -> Tensor:
        """The fixed batch shape (B, C, H, W): the first image again wherever there is none."""
        rows = images + images[:1] * (self.batch - len(images))
        return torch.stack([row.to(self.device, self.dtype) for row in rows])

    def _fill(self, item: Item) -> tuple[Tensor, str]:
        """p of one image, and how it came to be."""
        if item.prepared.fill is not None:
            return item.prepared.fill, "given"
        # In the engine's precision and, like all that decides bits, on the engine's thread.
        image = item.prepared.image.to("cpu", self.dtype)
        made = fill.make(image, self.classifier.preprocess, self.recipe)
        return made, "input blurred" if self.recipe.fill == "blur" else self.recipe.fill

    def _second_fill(self, item: Item) -> Tensor:
        """The recipe's other p, of one image."""
        image = item.prepared.image.to("cpu", self.dtype)
        return fill.make(image, self.classifier.preprocess, self.recipe, self.recipe.second_fill)

    def _refuse_signed(self) -> None:
        """(m − min)/max is a mask only where the map is not negative."""
        for layer in self.layers.weighed if self.recipe.normalise == "image" else ():
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
    def _exact(self) -> Iterator[None]:
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


def _explanation(index: int, row: int, outcome: Outcome, filled: str) -> Explanation:
    kept, probability = outcome.kept[row].item(), outcome.probability[row].item()
    area = outcome.area[row].item()
    predicted = bool(outcome.target[row] == outcome.prediction[row])
    return Explanation(
        index=index,
        target=int(outcome.target[row]),
        prediction=int(outcome.prediction[row]),
        probability=probability,
        kept=kept,
        removed=outcome.removed[row].item(),
        grid=outcome.grid[row].numpy().copy(),
        iterations=int(outcome.iterations[row]),
        status=status(Fate(int(outcome.fate[row])), area, predicted, probability, kept),
        area=area,
        loss=outcome.loss[row].item(),
        fill=filled,
    )


def status(fate: Fate, area: float, predicted: bool, probability: float, kept: float) -> Status:
    """One word for an explanation: what froze it, else `empty`, `full`, `target_lost` or `ok`.

    predicted: the target is the class the network predicts for the photograph.
    """
    frozen: dict[Fate, Status] = {
        Fate.EMPTY: "empty", Fate.CONSTANT: "constant", Fate.NONFINITE: "nonfinite",
    }  # fmt: skip
    if fate in frozen:
        return frozen[fate]
    if area < EMPTY_AREA:
        return "empty"
    if area > FULL_AREA:
        return "full"
    if predicted and kept < TARGET_KEPT * probability:
        return "target_lost"
    return "ok"

"""A stream of prepared photographs through the optimiser, at one fixed batch shape.

    engine = Engine(load("efficientnet-lite0"), PAPER, batch=8)
    for explanation in engine.explain_many(items):
        ...

The batch is padded where images are missing, so one image alone runs exactly as the same image among others: on
the CPU masks are bit-equal whatever the slot, the neighbours or the stream. That holds within one execution
`Profile`; another batch size, thread count, precision or device is another profile.

    stream → examined, and stage 1, `batch` images together → stage 2: a slot an image → results

Stage 1 has a fixed length, so its images start and end together. In stage 2 a recipe with `check_every` lets each
image go when its mask has settled, and the next in the stream takes the slot. Who shares a batch with whom follows
from the images alone, never from timing. The stream is pulled as it is needed, `batch` items at a time; results
come as they settle, in the order of the stream where nothing settles early.
"""

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfi.domain.errors import MethodError, OutOfMemory, Stopped
from gfi.domain.layer_names import Layers
from gfi.domain.recipes import Recipe
from gfi.method.batch_invariance import whole_batch
from gfi.method.classifiers import Classifier
from gfi.method.fills import make_fill
from gfi.method.inversion import Fate, Inversion, Outcome
from gfi.method.layers import Chosen, rectified
from gfi.method.memory import fitting_batch
from gfi.method.network import Network
from gfi.method.preprocess import Prepared

Status = Literal["ok", "empty", "full", "constant", "nonfinite", "target_lost", "not_settled"]

EMPTY_AREA = 0.001
"""A mask whose mean is below this covers no visible part of the image: status `empty`. (One cell of a
14×14 grid is 0.005.)"""
FULL_AREA = 0.95
"""A mask whose mean is above this leaves nothing out: status `full`."""
TARGET_KEPT = 0.1
"""Where the target was the prediction and the kept image has less than this share of its probability, the
mask does not explain it: status `target_lost`."""


DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}

_FITTING: dict[tuple[object, ...], int] = {}


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
    rather_than: int | None = None
    """Another class B, to explain "why the target A rather than B": f_A/(f_A + f_B) takes the place of f_A."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The mask of one photograph and what it does to the prediction."""

    index: int
    target: int
    prediction: int
    probability: float
    kept: float
    removed: float
    """f of the target: on the photograph, where only the masked part is kept, where only it is removed. With
    `rather_than` its share f_A/(f_A + f_B)."""
    grid: NDArray[np.float32]
    """(h, w), scaled; `interpolation.draw(grid, input size, recipe.align_corners)` is the mask in [0, 1]."""
    iterations: int
    """Steps behind the mask: fewer than the recipe's where the image settled or froze."""
    status: Status
    area: float
    """Mean of the mask over the input, in [0, 1]."""
    loss: float
    fill: str
    """What stood in for removed pixels: "given" with the image, "input blurred", "mean" or "noise"."""
    rather_than: int | None = None
    """As in the `Item`. Where the prediction, taken for the target, is this class itself: status `constant`."""


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
            with self._memory(), self._exact():
                _FITTING[key] = fitting_batch(self.network, self.recipe, shape, self.device)
        return _FITTING[key]

    def check(self, item: Item) -> None:
        """Raise MethodError if `item` does not fit the classifier; `explain_many` does so too."""
        shape = (self.classifier.preprocess.channels, *self.classifier.preprocess.size)
        for tensor in (item.prepared.image, item.prepared.fill):
            if tensor is not None and tuple(tensor.shape) != shape:
                raise MethodError(f"image {item.index} is {tuple(tensor.shape)}, the network's input {shape}")
        last = self.classifier.classes - 1
        for what, number in (("target", item.target), ("rather_than", item.rather_than)):
            if number is not None and not 0 <= number <= last:
                raise MethodError(f"image {item.index}: {what} {number} is no class; they are 0 to {last}")
        if item.target is not None and item.target == item.rather_than:
            raise MethodError(
                f"image {item.index}: nothing tells class {item.target} from itself; name another with rather_than"
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
        progress: Callable[[Progress], None] | None = None,
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
                progress(Progress(steps, indices))
            if stop is not None and stop.is_set():
                raise Stopped(f"stopped with {len(indices)} images in flight")

        pool = _Pool(self, iter(items), tick)
        while True:
            if torch.get_num_threads() != self._threads:
                torch.set_num_threads(self._threads)  # another thread may hold another setting
            with self._memory():
                explanations = pool.advance()
            if explanations is None:
                return
            yield from explanations

    def _begin(self, group: list[Item], fills: list[Tensor]) -> Inversion:
        """A batch of at most `batch` images, examined and ready for its first step."""
        inversion = Inversion(self.network, self.recipe, self.batch)
        second = self.recipe.second_fill != "none"
        inversion.start(
            self._padded([item.prepared.image for item in group]),
            self._padded(fills),
            [item.target for item in group] + [None] * (self.batch - len(group)),
            self._padded([self._second_fill(item) for item in group]) if second else None,
            [item.rather_than for item in group] + [None] * (self.batch - len(group)),
        )
        return inversion

    def _padded(self, images: list[Tensor]) -> Tensor:
        """The fixed batch shape (B, C, H, W): the first image again wherever there is none."""
        rows = images + images[:1] * (self.batch - len(images))
        return torch.stack([row.to(self.device, self.network.dtype) for row in rows])

    def _fill(self, item: Item) -> tuple[Tensor, str]:
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


@dataclass
class _Seat:
    """An image and the row it has."""

    item: Item
    fill: str
    row: int
    last_look: Tensor | None = None
    """Its mask at the last look, (h, w)."""


class _Pool:
    """Stage 2 of one stream: `batch` slots, and the images that wait for one."""

    def __init__(
        self, engine: Engine, stream: Iterator[Item], tick: Callable[[tuple[int, ...]], None]
    ) -> None:
        self._engine = engine
        self._recipe = engine.recipe
        self._stream = stream
        self._tick = tick
        self._slots: list[_Seat | None] = [None] * engine.batch
        self._rows: Inversion | None = None
        self._waiting: deque[_Seat] = deque()
        self._waiting_rows: Inversion | None = None

    def advance(self) -> list[Explanation] | None:
        """Fill the free slots and step to the next point where images may end; None when nothing is left."""
        with self._engine._exact():
            self._refill()
            if self._rows is None or not self._seated:
                return None
            for _ in range(self._until_the_next_look(self._rows)):
                self._rows.step()
                self._told()
            return self._leave(self._rows)

    @property
    def _seated(self) -> list[_Seat]:
        return [seat for seat in self._slots if seat is not None]

    def _told(self) -> None:
        self._tick(tuple(seat.item.index for seat in (*self._seated, *self._waiting)))

    def _refill(self) -> None:
        for slot, seat in enumerate(self._slots):
            if seat is not None:
                continue
            if not self._waiting:
                self._pull()
            if not self._waiting:
                return
            assert self._waiting_rows is not None
            if self._rows is None or not (self._seated or self._waiting[0].row):
                # All slots are free and nobody of the new batch has left it: it goes on as it stands.
                self._rows = self._waiting_rows
                for seat in self._waiting:
                    self._slots[seat.row] = seat
                self._waiting.clear()
                return
            seat = self._waiting.popleft()
            self._rows.take(slot, self._waiting_rows, seat.row)
            seat.row = slot
            self._slots[slot] = seat

    def _pull(self) -> None:
        """The next images of the stream, examined and through stage 1."""
        group = list(itertools.islice(self._stream, self._engine.batch))
        if not group:
            return
        for item in group:
            self._engine.check(item)
        fills = [self._engine._fill(item) for item in group]
        rows = self._engine._begin(group, [made for made, _ in fills])
        self._waiting = deque(_Seat(item, fills[row][1], row) for row, item in enumerate(group))
        self._waiting_rows = rows
        while rows.first_stage and not rows.done:
            rows.step()
            self._told()

    def _until_the_next_look(self, rows: Inversion) -> int:
        """Steps until some image reaches a multiple of check_every in stage 2, or the end of its schedule."""
        left = [self._recipe.steps - rows.taken[seat.row] for seat in self._seated]
        if self._recipe.check_every:
            since = [rows.taken[seat.row] - self._recipe.steps_inversion for seat in self._seated]
            left += [self._recipe.check_every - steps % self._recipe.check_every for steps in since]
        return min(left)

    def _leave(self, rows: Inversion) -> list[Explanation]:
        """The explanations of the images that are done; their slots are free."""
        grids, alive = rows.look()
        leaving = []
        for seat in self._seated:
            steps = rows.taken[seat.row] - self._recipe.steps_inversion
            looks = self._recipe.check_every > 0 and steps % self._recipe.check_every == 0
            grid = grids[seat.row]
            if rows.taken[seat.row] >= self._recipe.steps or (looks and not alive[seat.row]):
                leaving.append(seat)
            elif looks:
                before, seat.last_look = seat.last_look, grid
                if before is not None and (grid - before).abs().mean() <= self._recipe.settled:
                    leaving.append(seat)
        if not leaving:
            return []
        outcome = rows.outcome()
        for seat in leaving:
            self._slots[seat.row] = None
        return [_explanation(seat.item, seat.row, outcome, seat.fill) for seat in leaving]


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


def _explanation(item: Item, row: int, outcome: Outcome, filled: str) -> Explanation:
    kept, probability = outcome.kept[row].item(), outcome.probability[row].item()
    area = outcome.area[row].item()
    predicted = bool(outcome.target[row] == outcome.prediction[row])
    return Explanation(
        index=item.index,
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
        rather_than=item.rather_than,
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

"""Stage 2 of a stream of images: one slot per image, and the images that wait for a free slot.

    stream → stage 1, `batch` images together → waiting → stage 2, one slot per image → explanations

Stage 1 has a fixed length, so its images start and end together. In stage 2 a recipe with `check_every` ends each image
when its mask has settled, and the next image of the stream takes its slot. Which images share a batch follows from
the images alone, never from timing.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfi.domain.explanation import Explanation, Shown
from gfi.method.inversion import Inversion, Outcome, StopReason
from gfi.method.item import Item
from gfi.method.masks import Upsampling
from gfi.method.rows import Rows, lead, shifts
from gfi.method.statuses import decide_status

if TYPE_CHECKING:
    from gfi.method.engine import Engine


@dataclass
class _Slot:
    """An image and its row of the batch."""

    item: Item
    fill: str
    """`Explanation.fill`."""
    row: int
    checked: Tensor | None = None
    """The mask at the last check, (h, w)."""
    settled: bool = True
    """Whether the mask moved by at most `Recipe.settled` between the last two checks; True before the second one."""
    pooled: NDArray[np.float32] | None = None
    """`Explanation.pooled`."""


class Pool:
    """The slots and the waiting images of one stream.

    tick: called after every optimiser step with the keys of all images in the pool.
    """

    def __init__(
        self, engine: "Engine", stream: Iterator[Item], tick: Callable[[tuple[Any, ...]], None]
    ) -> None:
        self._engine = engine
        self._recipe = engine.recipe
        self._stream = stream
        self._tick = tick
        self._slots: list[_Slot | None] = [None] * engine.batch
        self._rows: Inversion | None = None
        self._waiting: deque[_Slot] = deque()
        self._waiting_rows: Inversion | None = None
        self._graphs = engine.step_graphs

    def advance(self) -> list[Explanation] | None:
        """Fill the free slots and step to the next point where images may end.

        Returns the explanations of the images that ended, and None once no image is left.
        """
        with self._engine.exact():
            self._fill_slots()
            if self._rows is None or not self._occupied:
                return None
            for _ in range(self._steps_to_next_check(self._rows)):
                self._step(self._rows)
                self._report()
            return self._release_finished(self._rows)

    @property
    def _occupied(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot is not None]

    def _report(self) -> None:
        self._tick(tuple(slot.item.key for slot in (*self._occupied, *self._waiting)))

    def _fill_slots(self) -> None:
        for free, occupant in enumerate(self._slots):
            if occupant is not None:
                continue
            if not self._waiting:
                self._load_batch()
            if not self._waiting:
                return
            assert self._waiting_rows is not None
            if self._rows is None or not (self._occupied or self._waiting[0].row):
                # All slots are free and no image of the new batch was moved, so the batch is used as it is.
                self._rows = self._held(self._waiting_rows)
                for slot in self._waiting:
                    self._slots[slot.row] = slot
                self._waiting.clear()
                return
            slot = self._waiting.popleft()
            self._rows.copy_row(free, self._waiting_rows, slot.row)
            slot.row = free
            self._slots[free] = slot

    def _load_batch(self) -> None:
        """Take the next images from the stream and run stage 1 on them; they then wait for slots."""
        group = list(itertools.islice(self._stream, self._engine.batch))
        if not group:
            return
        for item in group:
            self._engine.check(item)
        fills = [self._engine.fill_of(item) for item in group]
        rows = self._engine.begin(group, [made for made, _ in fills])
        pooled = [None] * len(group) if rows.pooled is None else [*rows.pooled.cpu().numpy()]
        self._waiting = deque(
            _Slot(item, fills[row][1], row, pooled=pooled[row]) for row, item in enumerate(group)
        )
        self._waiting_rows = rows = self._held(rows) if rows.first_stage else rows
        while rows.first_stage and not rows.done:
            self._step(rows)
            self._report()

    def _held(self, rows: Inversion) -> Inversion:
        """`rows`, or with graphs the batch whose memory they use, with the state of `rows`."""
        return rows if self._graphs is None else self._graphs.hold(rows)

    def _step(self, rows: Inversion) -> None:
        if self._graphs is None:
            rows.step()
        else:
            self._graphs.step(rows)

    def _steps_to_next_check(self, rows: Inversion) -> int:
        """Steps until some image reaches a multiple of check_every in stage 2, or the end of its schedule."""
        left = [self._recipe.steps - rows.steps_taken[slot.row] for slot in self._occupied]
        if self._recipe.check_every:
            since = [rows.steps_taken[slot.row] - self._recipe.steps_inversion for slot in self._occupied]
            left += [self._recipe.check_every - steps % self._recipe.check_every for steps in since]
        return min(left)

    def _release_finished(self, rows: Inversion) -> list[Explanation]:
        """Free the slots of the images that have ended, and return their explanations."""
        grids, active = rows.check_settled()
        finished = []
        for slot in self._occupied:
            steps = rows.steps_taken[slot.row] - self._recipe.steps_inversion
            ended = rows.steps_taken[slot.row] >= self._recipe.steps
            if self._recipe.check_every and (ended or steps % self._recipe.check_every == 0):
                before, slot.checked = slot.checked, grids[slot.row]
                if not active[slot.row]:
                    ended = True
                elif before is not None:
                    slot.settled = bool((slot.checked - before).abs().mean() <= self._recipe.settled)
                    ended = ended or slot.settled
            if ended:
                finished.append(slot)
        if not finished:
            return []
        outcome = rows.outcome()
        for slot in finished:
            self._slots[slot.row] = None
        leads = leads_of(rows, outcome, [slot.row for slot in finished], rows.upsample)
        return [
            replace(
                explanation(
                    *(slot.item, slot.fill, slot.row, outcome, leads.get(slot.row), slot.settled),
                    self._engine.recipe.align_corners,
                ),
                pooled=slot.pooled,
            )
            for slot in finished
        ]


def leads_of(rows: Rows, outcome: Outcome, ended: Sequence[int], upsample: Upsampling) -> dict[int, float]:
    """The lead of each mask over its shifted copies (`gfi.method.rows`), for those of the rows `ended` that have one:
    the target is the prediction, and there is a mask on a grid of more than two cells."""
    compared = [
        row for row in ended if outcome.has_mask[row] and outcome.target[row] == outcome.prediction[row]
    ]
    if not compared or len(shifts(*outcome.grid.shape[1:])) < 2:
        return {}
    copies = rows.of_copies(outcome.grid.to(rows.images), compared, upsample).cpu()
    own = torch.stack([outcome.kept, outcome.removed], 1)
    return {row: float(lead(own[row], of)) for row, of in zip(compared, copies, strict=True)}


def explanation(
    item: Item,
    fill: str,
    row: int,
    outcome: Outcome,
    lead: float | None,
    settled: bool = True,
    align_corners: bool = False,
) -> Explanation:
    """The explanation of one image from its row of the outcome.

    fill: `Explanation.fill`. lead, settled: as in `decide_status`.
    """
    seen = item.prepared
    shown = Shown((seen.image.shape[1], seen.image.shape[2]), align_corners, seen.original_size, seen.box)
    area = outcome.area[row].item()
    return Explanation(
        key=item.key,
        target=int(outcome.target[row]),
        prediction=int(outcome.prediction[row]),
        probability=outcome.probability[row].item(),
        kept=outcome.kept[row].item(),
        removed=outcome.removed[row].item(),
        grid=outcome.grid[row].numpy().copy(),
        iterations=int(outcome.iterations[row]),
        status=decide_status(StopReason(int(outcome.stop_reason[row])), area, lead=lead, settled=settled),
        area=area,
        loss=outcome.loss[row].item(),
        fill=fill,
        foil=item.foil,
        shown=shown,
    )

"""Decides which images of a new listing must be explained, and which results of an earlier job can be kept.

Both listings are streams of tables with `key`, `version`, `row` and `question` (32 bytes: `JobConfig.question`, the
digest of everything else that determines the result), in any order. An image of the new listing is

    carried     the earlier job has it with the same version and question
    explained   any other image: it is new, or its bytes or its question changed
    removed     an image of the earlier listing that the new one lacks

A merge join of the two sorted streams: memory holds a few blocks, whatever the length.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gfi.drift.sorted_tables import SortedTables, aligned

LISTING = pa.schema(
    [("key", pa.string()), ("version", pa.string()), ("row", pa.int64()), ("question", pa.binary(32))]
)
"""The columns of a listing."""
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class PlanStep:
    """The plan for a range of keys: rows of the new listing and of the earlier one.

    explained: new rows, of which `fresh` are new keys. carried: new rows; carried_from: their rows in the earlier job.
    removed: earlier rows.
    """

    explained: NDArray[np.int64] = field(default_factory=lambda: _NONE)
    carried: NDArray[np.int64] = field(default_factory=lambda: _NONE)
    carried_from: NDArray[np.int64] = field(default_factory=lambda: _NONE)
    removed: NDArray[np.int64] = field(default_factory=lambda: _NONE)
    fresh: int = 0


@dataclass
class PlanCounts:
    """The counts of a plan: images explained (new ones, changed ones), carried and removed."""

    explained: int = 0
    new: int = 0
    changed: int = 0
    carried: int = 0
    removed: int = 0

    def add(self, step: PlanStep) -> None:
        """Add the counts of a step."""
        self.explained += len(step.explained)
        self.new += step.fresh
        self.changed += len(step.explained) - step.fresh
        self.carried += len(step.carried)
        self.removed += len(step.removed)

    @property
    def shrank(self) -> bool:
        """Whether the new listing lacks more than half of the earlier one, which a person must confirm."""
        before = self.carried + self.changed + self.removed
        return 2 * self.removed > before

    def sentence(self) -> str:
        """The counts in words."""
        return (
            f"{self.explained:,} images to explain ({self.new:,} new, {self.changed:,} changed), {self.carried:,}"
            f" carried over, {self.removed:,} removed"
        )


def plan_incremental(
    new: Iterable[pa.Table], earlier: Iterable[pa.Table], folder: Path
) -> Iterator[PlanStep]:
    """The steps of a plan, in the order of keys. Keys are unique in each listing.

    folder: an empty one for sorted runs, about the size of the listings' four columns; the caller deletes it.
    """
    for left, right in aligned(SortedTables(new, "key", folder), SortedTables(earlier, "key", folder), "key"):
        yield _step(left, right)


def _step(new: pa.Table | None, earlier: pa.Table | None) -> PlanStep:
    if new is None:
        return PlanStep(removed=_rows(earlier))
    if earlier is None:
        return PlanStep(explained=_rows(new), fresh=len(new))
    place = pc.index_in(new.column("key"), value_set=earlier.column("key").combine_chunks())
    known = place.is_valid().to_numpy()
    partner = pc.fill_null(place, 0).to_numpy()
    same = known.copy()
    for name in ("version", "question"):
        equal = pc.equal(new.column(name), earlier.column(name).take(partner))
        same &= pc.fill_null(equal, False).to_numpy()
    new_rows, old_rows = _rows(new), _rows(earlier)
    kept = np.zeros(len(old_rows), np.bool_)
    kept[partner[known]] = True
    return PlanStep(
        explained=new_rows[~same],
        carried=new_rows[same],
        carried_from=old_rows[partner[same]],
        removed=old_rows[~kept],
        fresh=int((~known).sum()),
    )


def _rows(table: pa.Table | None) -> NDArray[np.int64]:
    return _NONE if table is None else np.asarray(table.column("row").to_numpy(), np.int64)

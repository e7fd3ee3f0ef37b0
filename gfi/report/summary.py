"""What a job came to: how many images ended how, and the means that may be taken.

Only images whose status is `ok` enter a mean; everything else is counted and shown as what it is. A
metric may be missing on some images (no box, no target), so every mean carries its own count.
Pointing is defined per class and then averaged, so those metrics also carry the mean of class means;
the class is the image's `label` where it has one, else its target.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

OK = "ok"

# Every status in the order a person wants to read them, with its words. The values are those of
# gfi.store.tables.ImageStatus; a test keeps the two equal.
STATUS_WORDS: dict[str, tuple[str, str]] = {
    "ok": ("Explained", "The mask settled and the target class survived on the kept part."),
    "not_settled": ("Not settled", "The mask was still moving when the schedule ended."),
    "target_lost": ("Target lost", "The kept part no longer gives the target class."),
    "empty": ("Empty mask", "Every channel weight died: nothing is marked."),
    "full": ("Full mask", "Everything is marked, so nothing is explained."),
    "constant": ("Constant mask", "The features do not vary over the image: there is nothing to show."),
    "nonfinite": ("Not finite", "The network or the optimiser returned infinities or not-a-number."),
    "changed": ("File changed", "The bytes are not those that were listed when the job began."),
    "error": ("Error", "The photograph could not be read or explained."),
}

# Columns of a row that are means as they stand, beside whatever is in row["metrics"].
COLUMNS = ("probability", "kept", "removed", "area", "iterations")

METRIC_WORDS: dict[str, tuple[str, str]] = {
    "probability": ("Probability", "of the target class, on the whole photograph"),
    "kept": ("Kept", "target probability when only the marked part is kept; higher is better"),
    "removed": ("Removed", "target probability when the marked part is removed; lower is better"),
    "area": ("Area", "share of the image that the mask covers"),
    "iterations": ("Iterations", "optimiser steps"),
    "deletion": ("Deletion", "area under the curve while the marked pixels go first; lower is better"),
    "insertion": ("Insertion", "area under the curve while the marked pixels come first; higher is better"),
    "energy_in_box": ("Energy in box", "share of the mask inside the boxes of the class; higher is better"),
    "pointing_hit": ("Pointing, 15 px", "the strongest point is within 15 px of a box of the class"),
    "pointing_hit_0": ("Pointing, 0 px", "the strongest point is inside a box of the class"),
    "average_drop": ("Average drop", "relative fall of the probability on image × mask; lower is better"),
    "increase": ("Increase", "share of images whose probability rises on image × mask"),
    "entropy": ("Entropy", "of the mask's mass, 1 for an even spread"),
}


def words(name: str) -> str:
    """A column or metric in words; an unknown one has its underscores taken out."""
    return METRIC_WORDS[name][0] if name in METRIC_WORDS else name.replace("_", " ").capitalize()


def status_words(status: str) -> str:
    """An image's status in words."""
    return STATUS_WORDS[status][0] if status in STATUS_WORDS else status.replace("_", " ").capitalize()


def status_meaning(status: str) -> str:
    """One sentence on what the status says of the image; empty for a status of another version."""
    return STATUS_WORDS.get(status, ("", ""))[1]


@dataclass(frozen=True)
class Mean:
    """The mean of one column over the `count` ok images that have it.

    class_mean: mean of the `classes` class means, only for metrics defined per class (pointing).
    """

    name: str
    mean: float
    count: int
    class_mean: float | None = None
    classes: int = 0

    @property
    def words(self) -> str:
        return words(self.name)

    @property
    def meaning(self) -> str:
        return METRIC_WORDS.get(self.name, ("", ""))[1]


@dataclass(frozen=True)
class Summary:
    """total: images; counts: status → images, in reading order, no zeros; means: over ok images."""

    total: int
    counts: Mapping[str, int] = field(default_factory=dict)
    means: tuple[Mean, ...] = ()

    @property
    def ok(self) -> int:
        return self.counts.get(OK, 0)

    def mean(self, name: str) -> Mean | None:
        """The mean called `name`, or None where no ok image has it."""
        return next((m for m in self.means if m.name == name), None)

    def to_json(self) -> dict[str, Any]:
        return {"total": self.total, "counts": dict(self.counts), "means": [asdict(m) for m in self.means]}


def number(value: Any) -> float | None:
    """`value` as a finite float, or None: None, strings, infinities and not-a-number are not numbers."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        real = float(value)
    except (TypeError, ValueError):
        return None
    return real if math.isfinite(real) else None


def measured(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite columns and metrics of one row, columns first."""
    pairs = [(name, row.get(name)) for name in COLUMNS] + list((row.get("metrics") or {}).items())
    return {name: real for name, value in pairs if (real := number(value)) is not None}


def summarise(rows: Iterable[Mapping[str, Any]]) -> Summary:
    """Counts and means over result rows, read once: memory grows with metrics × classes, not rows.

    A row has `status`, any of COLUMNS, `metrics` (a mapping), `label` and `target`.
    """
    statuses: Counter[str] = Counter()
    totals: dict[str, _Total] = {}
    for row in rows:
        status = str(row["status"])
        statuses[status] += 1
        if status != OK:
            continue
        label = row.get("label")
        group = str(label) if label is not None else str(row.get("target"))
        for name, value in measured(row).items():
            totals.setdefault(name, _Total()).add(value, group if _per_class(name) else None)
    order = {status: i for i, status in enumerate(STATUS_WORDS)}
    counts = {s: statuses[s] for s in sorted(statuses, key=lambda s: (order.get(s, len(order)), s))}
    rank = {name: i for i, name in enumerate(METRIC_WORDS)}
    names = sorted(totals, key=lambda n: (rank.get(n, len(rank)), n))
    return Summary(statuses.total(), counts, tuple(totals[n].mean(n) for n in names))


def _per_class(name: str) -> bool:
    return name.startswith("pointing")


class _Total:
    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0
        self.groups: dict[str, tuple[float, int]] = {}

    def add(self, value: float, group: str | None) -> None:
        self.sum += value
        self.count += 1
        if group is not None:
            total, count = self.groups.get(group, (0.0, 0))
            self.groups[group] = (total + value, count + 1)

    def mean(self, name: str) -> Mean:
        means = [total / count for total, count in self.groups.values()]
        class_mean = sum(means) / len(means) if means else None
        return Mean(name, self.sum / self.count, self.count, class_mean, len(means))

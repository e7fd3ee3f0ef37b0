"""The summary of a job: how many images have each status, and the means over the explained ones.

Only images whose status is `ok` enter a mean; all others are counted by their status. A metric may be missing on some
images (no box, no target), so every mean has a count of its own. Pointing is defined for each class and then averaged
over classes, so its columns also have the mean of the class means; the class is the image's `label` where it has one,
otherwise its target.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gfi.domain.methods import CONTROLS
from gfi.domain.metrics import BASE_COLUMNS, COLUMNS, PRIMARY_METHOD
from gfi.domain.result import Result
from gfi.domain.statuses import STATUS_WORDS, ImageStatus
from gfi.domain.sums import Sums

_BASE = tuple(column.name for column in BASE_COLUMNS)


def column_title(name: str) -> str:
    """The title of a column; that of an unknown one is its name without underscores."""
    return COLUMNS[name].title if name in COLUMNS else name.replace("_", " ").capitalize()


def status_title(status: str) -> str:
    """The title of an image's status; that of an unknown one is its name without underscores."""
    if status in tuple(ImageStatus):
        return STATUS_WORDS[ImageStatus(status)].title
    return status.replace("_", " ").capitalize()


def status_meaning(status: str) -> str:
    """One sentence that explains the status; empty for a status that this version does not know."""
    return STATUS_WORDS[ImageStatus(status)].meaning if status in tuple(ImageStatus) else ""


@dataclass(frozen=True)
class Mean:
    """The mean of one column over the `count` images with status `ok` that have it.

    class_mean: the mean of the `classes` class means, only for columns that are defined for each class (pointing).
    variance: of the same images, over `count`. controls: the means of the controls on a sample of the job's images, by
    `gfi.domain.methods.CONTROLS`; empty if there are none.
    """

    name: str
    mean: float
    count: int
    class_mean: float | None = None
    classes: int = 0
    variance: float = 0.0
    controls: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The column's title."""
        return column_title(self.name)

    @property
    def meaning(self) -> str:
        """The meaning of the column, and whether higher or lower is better; empty for an unknown column."""
        return COLUMNS[self.name].sentence if self.name in COLUMNS else ""


@dataclass(frozen=True)
class Summary:
    """total: images; counts: status to images, in reading order, without zeros; means: over images with status `ok`."""

    total: int
    counts: Mapping[str, int] = field(default_factory=dict)
    means: tuple[Mean, ...] = ()

    @property
    def ok(self) -> int:
        """Images with status `ok`."""
        return self.counts.get(ImageStatus.OK, 0)

    def to_json(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        return {"total": self.total, "counts": dict(self.counts), "means": [asdict(m) for m in self.means]}


def finite_values(result: Result) -> dict[str, float]:
    """The finite numbers of one result by column, its own first and then its metrics."""
    values = {name: result.number(name) for name in (*_BASE, *result.metrics)}
    return {
        name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)
    }


def summarise(results: Iterable[Result]) -> Summary:
    """Counts and means over results, which are read once; memory grows with metrics × classes, not with results."""
    sums = Sums()
    for result in results:
        identity = (PRIMARY_METHOD, result.label, result.target, result.prediction, str(result.status))
        sums.add(identity, finite_values(result).items())
    return summary_of(sums)


def summary_of(sums: Sums) -> Summary:
    """The summary of the images that were summed."""
    statuses = sums.statuses()
    order = {str(status): i for i, status in enumerate(STATUS_WORDS)}
    counts = {s: statuses[s] for s in sorted(statuses, key=lambda s: (order.get(s, len(order)), s))}
    controls = {control: sums.numbers(control) for control in CONTROLS}
    means = tuple(
        Mean(
            name,
            number.mean,
            number.count,
            number.class_mean,
            number.classes,
            number.variance,
            {control: known[name].mean for control, known in controls.items() if name in known},
        )
        for name, number in sums.numbers().items()
    )
    return Summary(sum(counts.values()), counts, means)

"""The numbers of a report, each with its definition, interval and controls; what is missing and why; the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gfi.domain.intervals import Interval, normal
from gfi.domain.methods import CONTROLS
from gfi.domain.metrics import CATALOGUE, COLUMNS, is_bounded
from gfi.report.summary import Summary, column_title

_REASONS = {
    "boxes": "no explained image has a box of its class",
    "iou_region": "no explained image has a region of its class that the network saw",
    "network": "not computed for any explained image",
    "mask": "not computed for any explained image",
    "grids": "no image of the sample was put into a grid",
}


@dataclass(frozen=True)
class Measure:
    """A number over the explained images.

    mean: None if no image has it; `missing` then says why. left_out: explained images without it. controls: by their
    titles, None where a control was not computed. class_mean: the mean of the means of `classes` classes, for numbers
    that are defined for each class.
    """

    title: str
    sentence: str
    mean: float | None
    interval: Interval | None
    count: int
    left_out: int
    controls: Mapping[str, float | None]
    missing: str = ""
    class_mean: float | None = None
    classes: int = 0


@dataclass(frozen=True)
class ClassRow:
    """A class of the report. numbers: mean and interval by column; None where no image has it.

    right: the share of images whose prediction is the label, None without labels that are classes of the model.
    """

    name: str
    images: int
    explained: int
    right: float | None
    numbers: Mapping[str, tuple[float, Interval | None] | None]


@dataclass(frozen=True)
class Classes:
    """The classes with the most images. columns: of their numbers. more: how many classes are not listed."""

    rows: Sequence[ClassRow]
    columns: Sequence[str]
    more: int = 0

    @property
    def titles(self) -> list[tuple[str, str]]:
        """(Title, sentence) of each column."""
        return [(column_title(name), COLUMNS[name].sentence) for name in self.columns]


@dataclass(frozen=True)
class Numbers:
    """What a report says in numbers. how: how its images were chosen. ranked: the column of `best` and `worst`."""

    measures: Sequence[Measure]
    classes: Classes | None = None
    ranked: str = ""
    how: str = ""
    left_out: Sequence[tuple[str, int]] = field(default_factory=tuple)
    """Images that are in no mean, by the title of their status."""


def measures_of(
    summary: Summary, intervals: Mapping[str, Interval | None], asked: Sequence[str] = ()
) -> list[Measure]:
    """The numbers of a summary. intervals: those that were drawn; others follow from the variance.

    asked: the metrics of the job, of which those without a value are listed as missing.
    """
    made = []
    for mean in summary.means:
        known = {CONTROLS[name]: value for name, value in mean.controls.items()}
        controls = {title: known.get(title) for title in CONTROLS.values()}
        made.append(
            Measure(
                title=mean.title,
                sentence=mean.meaning,
                mean=mean.mean,
                interval=intervals.get(mean.name)
                or normal(mean.mean, mean.variance, mean.count, share=is_bounded(mean.name)),
                count=mean.count,
                left_out=max(0, summary.ok - mean.count),
                controls=controls,
                class_mean=mean.class_mean if mean.classes > 1 else None,
                classes=mean.classes,
            )
        )
    there = {mean.name for mean in summary.means}
    for name in asked:
        for column in CATALOGUE[name].columns if name in CATALOGUE else ():
            if column.name not in there:
                made.append(
                    Measure(
                        title=column.title,
                        sentence=column.sentence,
                        mean=None,
                        interval=None,
                        count=0,
                        left_out=summary.ok,
                        controls=dict.fromkeys(CONTROLS.values()),
                        missing=_REASONS.get(name) or _REASONS[CATALOGUE[name].needs],
                    )
                )
    return made

"""A job by class, from its maintained sums: no result is read.

The class of an image is its label, otherwise its target. Intervals are 95 %: of a share Wilson's, of a mean Student's t
over the images of the class.

    x̄ ± t(.975, n−1) · s / √n

A mean of numbers that are 0 or 1 for each image, such as hits, is a share.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import stdtrit

from gfi.domain.class_index import ClassIndex
from gfi.domain.intervals import is_share, of_share
from gfi.domain.metrics import is_bounded
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.domain.sums import Sums

Class = tuple[str | None, int | None]
"""A label, or a target where images have no label; the other is None."""


@dataclass(frozen=True)
class Estimate:
    """A mean or a share with its 95 % interval, over `count` images. low, high: None where it is not known."""

    mean: float
    count: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassSummary:
    """The images of one class. index: of the class in the model, None where the label names none.

    accuracy: the share of images with a prediction whose prediction is the class; None without labels. coverage: the
    share of images with status `ok`. means: of each number over images with status `ok`.
    """

    label: str | None
    target: int | None
    index: int | None
    images: int
    explained: int
    accuracy: Estimate | None
    coverage: Estimate
    means: Mapping[str, Estimate]


@dataclass(frozen=True)
class Confused:
    """The images with one label and one prediction. right: the prediction is the class that the label names; None where
    the label names no class of the model."""

    label: str
    index: int | None
    prediction: int
    images: int
    right: bool | None


def class_summaries(sums: Sums, classes: ClassIndex, *, each_label: bool = False) -> list[ClassSummary]:
    """A summary of each class, the most images first.

    sums: those of the job, with cells. each_label: whether the job has a result for each label; then a usable one
    without a prediction is a label that the network did not find, which counts as wrong.
    """
    groups: dict[Class, Sums] = {}
    for label, of_label in sums.group("label").items():
        if label is not None:
            groups[str(label), None] = of_label
        else:
            for target, of_target in of_label.group("target").items():
                groups[None, None if target is None else int(target)] = of_target
    found = [_summary(label, target, group, classes, each_label) for (label, target), group in groups.items()]
    return sorted(
        found, key=lambda one: (-one.images, one.label or "", -1 if one.target is None else one.target)
    )


def _summary(
    label: str | None, target: int | None, sums: Sums, classes: ClassIndex, each_label: bool
) -> ClassSummary:
    index = target if label is None else classes.find(label)
    counts = sums.cell_statuses()
    images, explained = sum(counts.values()), counts.get(ImageStatus.OK.value, 0)
    right = known = 0
    for (prediction, status), of_it in sums.images_by("prediction", "status").items():
        if prediction is not None:
            known, right = known + of_it, right + of_it * (prediction == index)
        elif each_label and status not in UNUSABLE:
            known += of_it
    return ClassSummary(
        label=label,
        target=target,
        index=index,
        images=images,
        explained=explained,
        accuracy=share(right, known) if label is not None and index is not None and known else None,
        coverage=share(explained, images),
        means={
            name: mean_estimate(mean, count, variance, share=is_bounded(name))
            for name, (mean, count, variance) in sums.explained_spreads().items()
        },
    )


def confusion(sums: Sums, classes: ClassIndex) -> list[Confused]:
    """The images by label and prediction, wrong ones first and then the most images. sums: those of the job, with
    cells. Images without label or prediction are in none."""
    pairs = sums.images_by("label", "prediction")
    meant = {label: None if label is None else classes.find(label) for label, _ in pairs}
    found = []
    for (label, prediction), images in pairs.items():
        if label is not None and prediction is not None:
            index = meant[label]
            right = None if index is None else index == prediction
            found.append(Confused(str(label), index, int(prediction), images, right))
    return sorted(found, key=lambda one: (one.right is not False, -one.images, one.label, one.prediction))


def share(k: int, n: int) -> Estimate:
    """k of n with Wilson's interval.

    >>> one = share(8, 10); round(one.low, 3), round(one.high, 3)
    (0.49, 0.943)
    """
    if not n:
        return Estimate(0.0, 0, None, None)
    return Estimate(k / n, n, *of_share(k / n, n))


def mean_estimate(mean: float, count: int, variance: float | None, *, share: bool = True) -> Estimate:
    """A mean with Student's interval, a share with Wilson's. variance: over `count`; None where it is not known. share:
    False of numbers that may lie outside [0, 1], which are no share where all of them are 1."""
    if variance is None or count < 2:
        return Estimate(mean, count, None, None)
    if share and is_share(mean, variance):
        return Estimate(mean, count, *of_share(mean, count))
    half = float(stdtrit(count - 1, 0.975)) * math.sqrt(variance / (count - 1))
    return Estimate(mean, count, mean - half, mean + half)

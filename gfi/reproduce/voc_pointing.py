"""The pointing game on PASCAL VOC 2007 test (Du et al. 2018, section 4.3; TorchRay).

    DIR/VOC2007/JPEGImages/000001.jpg, Annotations/000001.xml, ImageSets/Main/test.txt        DIR may also be VOC2007

A classifier with the 20 classes explains every label of every image. Hits are averaged within classes, then over
classes. Two protocols:

    tolerance 0      the strongest point lies in a box of the class (the paper)
    tolerance 15     a pixel of a box is less than 15 pixels from it (TorchRay)

In both all boxes of the class count, and a pair of image and label whose objects are all marked `difficult` is left
out, as in TorchRay; these pairs have a column of their own. "Small" are the pairs whose boxes cover less than a quarter
of an image that shows another class too (the difficult subset of Zhang et al. 2016, by its definition).

There is a job for each class, since an image has several labels: its manifest lists the images of that class.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gfi.datasets.errors import DatasetError
from gfi.datasets.layouts.voc import Voc
from gfi.datasets.media import local
from gfi.domain.class_index import ClassIndex
from gfi.domain.intervals import Interval
from gfi.domain.statuses import ImageStatus
from gfi.metrics.pointing import accuracy, strongest, within
from gfi.reproduce import published
from gfi.reproduce.experiment import (
    Ask,
    Example,
    Listing,
    Masked,
    Read,
    Report,
    Table,
    options_of,
    percent,
    usable,
)

METHODS = ("paper", "released", "tuned", "grad-cam", "rise")
NEAR = math.sqrt(15**2 - 0.5)
"""TorchRay's tolerance of 15 pixels: a hit is *less* than 15 pixels away, and distances are roots of whole numbers."""
DELTA = 10.0
"""The weight of the penalty in stage 2 that the paper takes on VOC07."""
SMALL = 0.25
_DEVKITS = (".", "VOC2007", "VOCdevkit/VOC2007")


@dataclass(frozen=True)
class Options:
    """split: a list in ImageSets/Main. images: only the first so many; None: all."""

    split: str = "test"
    images: int | None = None


def open_directory(
    directory: Path, allowed: Sequence[Path], classes: ClassIndex, options: Options
) -> list[Listing]:
    """The images of each class, in order of the classes' names. DatasetError says what the directory or model lacks."""
    base = next((one for place in _DEVKITS if ((one := directory / place) / "JPEGImages").is_dir()), None)
    if base is None:
        raise DatasetError(
            f"{directory} holds no JPEGImages/, VOC2007/JPEGImages/ or VOCdevkit/VOC2007/JPEGImages/: unpack "
            "VOCtest_06-Nov-2007.tar there"
        )
    roots = local.Roots.admit(base, allowed)
    by_class: dict[str, list[Example]] = {}
    for count, item in enumerate(Voc(roots, options.split).list()):
        if options.images is not None and count >= options.images:
            break
        for label in sorted({box.label for box in item.boxes if box.label is not None}):
            by_class.setdefault(label, []).append(Example(item.key, label, item.boxes))
    if not by_class:
        raise DatasetError(f"{base}: no image of {options.split} has an annotation in Annotations/")
    unknown = [label for label in sorted(by_class) if classes.find(label) is None]
    if unknown:
        raise DatasetError(
            f"the model has no class {', '.join(map(repr, unknown))}: the experiment needs a classifier of the 20"
            " classes of VOC, with a sigmoid for each (`output` in its model file, docs/reproduce.md)"
        )
    return [Listing(label, roots.base, tuple(by_class[label])) for label in sorted(by_class)]


class Pair(NamedTuple):
    """An image and a label. hit_0, hit_15: whether the strongest point hits; centre_0, centre_15: whether the middle of
    the photograph does. difficult: every object of the class is marked so. small: of the subset."""

    label: str
    hit_0: bool
    hit_15: bool
    centre_0: bool
    centre_15: bool
    difficult: bool
    small: bool
    ok: bool


def played(one: Masked) -> Pair | None:
    """The pointing game on one image and its label; None where its boxes do not fit the photograph."""
    label = str(one.example.label)
    own = [box for box in one.example.boxes if box.label == label]
    difficult = all(box.difficult for box in own)
    if one.size is None:
        return Pair(label, False, False, False, False, difficult, False, False)
    regions = one.regions(lambda box: box.label == label)
    if not regions:
        return None
    height, width = one.size
    point = None if one.mask is None or one.seen is None else strongest(one.mask, one.size, one.seen)
    middle = (height // 2, width // 2)
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in regions) / (height * width)
    others = any(box.label != label for box in one.example.boxes)
    return Pair(
        label,
        point is not None and within(point, regions, one.size, 0.0),
        point is not None and within(point, regions, one.size, NEAR),
        within(middle, regions, one.size, 0.0),
        within(middle, regions, one.size, NEAR),
        difficult,
        covered < SMALL and others,
        one.status == ImageStatus.OK,
    )


def class_mean(hits: Sequence[bool], labels: Sequence[str]) -> tuple[float, Interval | None]:
    """The accuracy averaged over classes, with an interval at 95 % from the variances within classes.

    The variance of a class is taken at (hits + 1)/(images + 2), so that a class with nothing but hits has one.

    >>> class_mean([True, False, True, True], ["cat", "cat", "dog", "dog"])[0]
    0.75
    """
    found = accuracy([float(hit) for hit in hits], list(labels))
    if not found.classes:
        return math.nan, None
    variance = 0.0
    for share, images in found.classes.values():
        nearer = (share * images + 1) / (images + 2)
        variance += nearer * (1 - nearer) / (images + 2)
    half = 1.959964 * math.sqrt(variance) / len(found.classes)
    return found.by_class, Interval(max(0.0, found.by_class - half), min(1.0, found.by_class + half))


class VocPointing:
    """The experiment. output: of the model, as its record says."""

    name = "voc-pointing"

    def __init__(
        self,
        model: str,
        listings: Sequence[Listing],
        methods: Sequence[str] = METHODS,
        output: str = "sigmoid",
    ) -> None:
        self._model, self._listings, self._output = model, tuple(listings), output
        self._methods: dict[str, dict[str, Any]] = {method: options_of(method) for method in methods}
        if "paper" in self._methods:
            self._methods["paper"]["overrides"] = {"delta": DELTA}

    def asks(self) -> Sequence[Ask]:
        return [ask for method in self._methods for ask in self._of(method)]

    def _of(self, method: str) -> Iterator[Ask]:
        for listing in self._listings:
            yield Ask(method, listing, self._methods[method] | {"target": listing.name})

    def report(self, read: Read) -> Report:
        pairs: dict[str, list[Pair]] = {}
        for method in self._methods:
            found = (played(masked) for ask in self._of(method) for masked in read(ask))
            pairs[method] = [one for one in found if one is not None]
        first = next(iter(pairs.values()))
        centre = [one._replace(hit_0=one.centre_0, hit_15=one.centre_15, ok=False) for one in first]
        rows, numbers = [], {}
        for method, played_ in {**pairs, "centre": centre}.items():
            row, values = _row(played_)
            ok = "–" if method == "centre" else usable(sum(one.ok for one in played_), len(played_))
            rows.append((method, *row, ok))
            numbers[method] = values
        theirs = [
            (name, f"{share:.1f}", "–", "VGG-19, Du et al.") for name, share in published.POINTING_PAPER
        ]
        theirs += [
            (name, "–", f"{share:.1f}", "ResNet-50, TorchRay") for name, share in published.POINTING_TORCHRAY
        ]
        tables = (
            Table(
                f"Pointing in %, averaged over {len(self._listings)} classes, {self._model}",
                ("method", "0 px (95 %)", "15 px (95 %)", "15 px, small", "15 px, difficult", "`ok`"),
                tuple(rows),
            ),
            Table("As published", ("method", "0 px", "15 px", "source"), tuple(theirs)),
            Table(
                "15 px by class, in %",
                ("class", "pairs", *pairs),
                tuple(
                    (label, f"{count:,}", *(_of_class(pairs[method], label) for method in pairs))
                    for label, count in _counts(first)
                ),
            ),
        )
        return Report("Pointing on VOC07", tables, self._differences(), {"methods": numbers})

    def _differences(self) -> tuple[str, ...]:
        notes = [note for listing in self._listings for note in listing.notes]
        if self._output != "sigmoid":
            notes.append(
                f"{self._model} has the output {self._output}; the paper's classifier is trained for several labels at"
                " once, with a sigmoid for each"
            )
        return (
            *notes,
            f"the network is {self._model}; the paper has VGG-19 fine-tuned on VOC07",
            "the whole photograph is brought to the network's input size; TorchRay keeps its proportions and lets the"
            " network run over the larger input",
            "`paper` has the paper's δ = 10 for VOC07; `released` keeps δ = 2",
            "the small subset follows the definition of Zhang et al.; TorchRay reads it from a list",
            "RISE has the 500 masks of its recipe; the published run has 4,000 to 8,000",
        )


def _row(pairs: Sequence[Pair]) -> tuple[tuple[str, ...], dict[str, Any]]:
    ordinary = [one for one in pairs if not one.difficult]
    small = [one for one in ordinary if one.small]
    difficult = [one for one in pairs if one.difficult]
    chosen = {
        "0": ([one.hit_0 for one in ordinary], ordinary),
        "15": ([one.hit_15 for one in ordinary], ordinary),
        "15_small": ([one.hit_15 for one in small], small),
        "15_difficult": ([one.hit_15 for one in difficult], difficult),
    }
    cells, numbers = [], {}
    for name, (hits, of) in chosen.items():
        share, interval = class_mean(hits, [one.label for one in of])
        cells.append(percent(share, interval))
        known = None if math.isnan(share) else share
        numbers[name] = {"accuracy": known, "interval": interval and list(interval), "pairs": len(of)}
    return tuple(cells), numbers


def _counts(pairs: Sequence[Pair]) -> list[tuple[str, int]]:
    labels = [one.label for one in pairs if not one.difficult]
    return [(label, labels.count(label)) for label in sorted(set(labels))]


def _of_class(pairs: Sequence[Pair], label: str) -> str:
    hits = [float(one.hit_15) for one in pairs if one.label == label and not one.difficult]
    return percent(float(np.mean(hits))) if hits else "–"

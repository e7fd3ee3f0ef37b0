"""Localisation on ImageNet's validation images (Du et al. 2018, section 4.2).

    DIR/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG      the layouts that gfi.datasets.layouts.imagenet reads
    DIR/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml
    DIR/ILSVRC/Data/CLS-LOC/train/n01440764/…                     with their annotations: for the threshold
    DIR/*devkit*/data/*validation_blacklist.txt                   numbers of the images that are left out
    DIR/LOC_synset_mapping.txt                                    the class file: a WordNet id and names on each line

Every validation image that is not blacklisted and has a box is explained for its label. The box around the mask is
taken at α times the mask's mean; α is chosen, for each method, on drawn training images that have boxes. An image
without a usable mask is an error.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.errors import DatasetError
from gfi.datasets.layouts.imagenet import ImageNet
from gfi.datasets.listing import Listed
from gfi.datasets.media import local
from gfi.domain.class_index import ClassIndex
from gfi.domain.geometry import whole
from gfi.domain.statuses import ImageStatus
from gfi.metrics.localisation import ALPHAS, Chosen, choose, errors, overlaps
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
    share_of,
    usable,
)

METHODS = ("paper", "released", "tuned", "grad-cam", "rise")
VGG19_LAYERS: Mapping[str, str] = {
    "pool4": "features.27",
    "conv5_3": "features.33",
    "conv5_4": "features.35",
    "pool5": "features.36",
}
"""The layers of VGG-19 that the paper compares: pooled, or after their ReLU. `features.36` is inverted for all."""
_BLACKLISTS = tuple(
    f"{place}*validation_blacklist.txt"
    for place in ("", "*/", "*devkit*/", "*devkit*/data/", "*/*devkit*/", "*/*devkit*/data/")
)
_CLASS_FILES = ("LOC_synset_mapping.txt", "ILSVRC/LOC_synset_mapping.txt", "synset_words.txt")
_NUMBER = re.compile(r"_val_(\d+)$")


@dataclass(frozen=True)
class Options:
    """held_out: drawn training images for the threshold; 0: none. images: the first so many validation images; None:
    all. seed: of the draw. blacklist, classes: files; None: looked for below the directory."""

    held_out: int = 1000
    images: int | None = None
    seed: int = 0
    blacklist: Path | None = None
    classes: Path | None = None


def read_blacklist(file: Path) -> frozenset[int]:
    """The numbers of the validation images that the protocol leaves out. DatasetError: a line is not a number."""
    numbers = set()
    for line, text in enumerate(_text(file).split("\n"), 1):
        if text.strip():
            if not text.strip().isdecimal():
                raise DatasetError(
                    f"{file} line {line}: {text.strip()[:40]!r} is not the number of a validation image"
                )
            numbers.add(int(text))
    if not numbers:
        raise DatasetError(f"{file} has no number")
    return frozenset(numbers)


def read_class_file(file: Path) -> dict[str, int]:
    """WordNet id → its place in the class file, from 0: `n01440764 tench, Tinca tinca` on each line."""
    places: dict[str, int] = {}
    for line, text in enumerate(_text(file).strip("\n").split("\n"), 1):
        wordnet = text.split(" ")[0].strip()
        if not re.fullmatch(r"n\d{8}", wordnet) or wordnet in places:
            problem = "comes twice" if wordnet in places else "is not a WordNet id"
            raise DatasetError(f"{file} line {line}: {wordnet[:40]!r} {problem}")
        places[wordnet] = len(places)
    return places


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {file}: {error}") from error


@dataclass(frozen=True)
class Labels:
    """Turns the dataset's labels into ones that the model finds. places: of the class file, used for a model that knows
    no WordNet ids and has as many classes, in that order."""

    classes: ClassIndex
    places: Mapping[str, int] = field(default_factory=dict)

    def of(self, label: str | None) -> str | None:
        """The label as the model finds it; None where it finds none."""
        if label is None:
            return None
        if self.classes.find(label) is not None:
            return label
        if self.classes.wordnet_ids or len(self.places) != self.classes.count:
            return None
        place = self.places.get(label)
        return str(place) if place is not None and self.classes.find(str(place)) == place else None


def _example(item: Listed, labels: Labels) -> Example | None:
    """The image with its label, and only the boxes of that label; None where either is missing."""
    label = labels.of(item.label)
    boxes = tuple(box for box in item.boxes if box.label in (None, item.label))
    if label is None or not boxes:
        return None
    return Example(item.key, label, tuple(replace(box, label=label) for box in boxes))


def validation(source: ImageNet, root: Path, labels: Labels, options: Options) -> Listing:
    """The validation images that the protocol tests. DatasetError if there is none."""
    blacklist_file = options.blacklist or _first(root, _BLACKLISTS)
    blacklist = frozenset[int]() if blacklist_file is None else read_blacklist(blacklist_file)
    notes = []
    if blacklist_file is None:
        notes.append(
            "the directory has no *validation_blacklist.txt: no image is left out; the paper left out 1,762 of 50,000"
        )
    examples: list[Example] = []
    left_out = unusable = 0
    for item in source.list():
        number = _NUMBER.search(Path(item.key).stem)
        if number is not None and int(number[1]) in blacklist:
            left_out += 1
            continue
        example = _example(item, labels)
        if example is None:
            unusable += 1
        elif options.images is None or len(examples) < options.images:
            examples.append(example)
    if blacklist_file is not None:
        notes.append(f"{left_out:,} images were left out by {blacklist_file.name}; the paper left out 1,762")
    if unusable:
        notes.append(f"{unusable:,} images have no box of a class of the model and are left out")
    if options.images is not None:
        notes.append(f"only the first {len(examples):,} validation images were tested")
    if not examples:
        raise DatasetError(
            f"{root}: no validation image has a box of a class of the model; boxes are in "
            "ILSVRC/Annotations/CLS-LOC/val/*.xml or LOC_val_solution.csv, labels are WordNet ids"
        )
    return Listing("val", source.root, tuple(examples), tuple(notes))


def held_out(source: ImageNet, labels: Labels, options: Options) -> Listing:
    """Drawn training images with boxes, about the same number of each class."""
    drawn = source.sample(options.held_out, options.seed)
    examples = tuple(example for item in drawn if (example := _example(item, labels)) is not None)
    return Listing("held out", source.root, examples)


def _first(root: Path, patterns: Sequence[str]) -> Path | None:
    return next((file for pattern in patterns for file in sorted(root.glob(pattern))), None)


def open_directory(
    directory: Path, allowed: Sequence[Path], classes: ClassIndex, options: Options
) -> tuple[Listing, Listing | None]:
    """The validation images and the drawn training images of a directory; None without training images with boxes.

    DatasetError says what the directory lacks.
    """
    roots = local.Roots.admit(directory, allowed)
    source = ImageNet(roots, "val")
    class_file = options.classes or _first(roots.base, _CLASS_FILES)
    labels = Labels(classes, {} if class_file is None else read_class_file(class_file))
    tested = validation(source, roots.base, labels, options)
    if not options.held_out:
        return tested, None
    try:
        drawn = held_out(ImageNet(roots, "train"), labels, options)
    except DatasetError:
        return tested, None
    return tested, drawn if drawn.examples else None


class ImagenetLocalisation:
    """The experiment. methods: as `options_of` reads them. layers: name → l1 of the preset `paper`, for the second
    table. inverted: l0 for these."""

    name = "imagenet-localisation"

    def __init__(
        self,
        model: str,
        tested: Listing,
        drawn: Listing | None,
        methods: Sequence[str] = METHODS,
        layers: Mapping[str, str] | None = None,
        inverted: str = VGG19_LAYERS["pool5"],
    ) -> None:
        self._tested, self._drawn = tested, drawn
        jobs: dict[str, dict[str, Any]] = {method: options_of(method) for method in methods}
        self._layers = dict(layers or {})
        for name, layer in self._layers.items():
            jobs[f"paper, l1 = {name}"] = options_of("paper") | {"layers": f"{inverted},{layer}"}
        self._model = model
        self._jobs = jobs
        self._methods = tuple(methods)

    def _ask(self, method: str, listing: Listing) -> Ask:
        metrics = {"metrics": ("localisation", "pointing")} if listing is self._tested else {}
        return Ask(method, listing, self._jobs[method] | {"target": "auto"} | metrics)

    def asks(self) -> Sequence[Ask]:
        listings = [listing for listing in (self._drawn, self._tested) if listing is not None]
        return [self._ask(method, listing) for method in self._jobs for listing in listings]

    def report(self, read: Read) -> Report:
        scores = {method: self._score(method, read) for method in self._jobs}
        found = [_row(method, scores[method]) for method in self._methods]
        floor = next(iter(scores.values())).whole
        found.append(
            ("the whole photograph", "–", percent(*share_of(errors(floor))), f"{floor.mean():.3f}", "–")
        )
        theirs = tuple((method, network, f"{error:.1f}") for method, network, error in published.LOCALISATION)
        tables = [
            Table(
                f"Localisation error in % (IoU ≤ .5), {self._model}, {len(self._tested.examples):,} images",
                ("method", "α", "error (95 %)", "mean IoU", "`ok`"),
                tuple(found),
            ),
            Table("As published (50,000 − 1,762 images)", ("method", "network", "error"), theirs),
        ]
        if self._layers:
            printed = dict(published.LOCALISATION_LAYERS)
            rows = tuple(
                (
                    *_row(name, scores[f"paper, l1 = {name}"])[:3],
                    f"{printed[name]:.1f}" if name in printed else "–",
                )
                for name in self._layers
            )
            tables.append(
                Table(
                    "The layer whose channels make the mask",
                    ("l1", "α", "error (95 %)", "published, VGG-19"),
                    rows,
                )
            )
        sweep = tuple(
            (f"{alpha:g}", *(percent(float(errors(scores[m].found[:, at]).mean())) for m in self._methods))
            for at, alpha in enumerate(ALPHAS)
        )
        tables.append(Table("Error in % at every threshold, tested images", ("α", *self._methods), sweep))
        numbers = {
            "images": len(self._tested.examples),
            "methods": {m: s.to_json() for m, s in scores.items()},
        }
        return Report("Localisation on ImageNet", tuple(tables), self._differences(), numbers)

    def _score(self, method: str, read: Read) -> "Score":
        tested = [one for masked in read(self._ask(method, self._tested)) if (one := measured(masked))]
        if not tested:
            raise DatasetError(
                "the boxes of no validation image fit their photograph: nothing can be measured"
            )
        chosen = Chosen(published.LOCALISATION_ALPHA, math.nan, math.nan)
        if self._drawn is not None:
            drawn = [one for masked in read(self._ask(method, self._drawn)) if (one := measured(masked))]
            if not drawn:
                raise DatasetError("the boxes of no drawn training image fit their photograph: --held-out 0")
            chosen = choose(np.array([one.found for one in drawn]))
        return Score(
            np.array([one.found for one in tested]).reshape(-1, len(ALPHAS)),
            chosen,
            np.array([one.whole for one in tested]),
            sum(one.ok for one in tested),
            len(self._tested.examples) - len(tested),
        )

    def _differences(self) -> tuple[str, ...]:
        if self._drawn is None:
            threshold = (
                "no training images with boxes were found: α is 1.5, the paper's choice for guided inversion"
            )
        else:
            count = len(self._drawn.examples)
            threshold = (
                f"α was chosen on {count:,} drawn training images; the paper does not say how many it took"
            )
        return (
            *self._tested.notes,
            threshold,
            f"the network is {self._model}; the paper has VGG-19, and its other methods are on GoogLeNet",
            "an image without a usable mask is an error here; the paper does not say what it did",
            "the mean of a mask is taken at the network's input size, the box on the photograph",
        )


@dataclass(frozen=True)
class Score:
    """found: (N, thresholds), the IoU at each. chosen: the threshold. whole: (N,), the IoU of the whole photograph as
    the box. ok: how many masks are `ok`. left_out: images whose boxes do not fit the photograph."""

    found: NDArray[np.float64]
    chosen: Chosen
    whole: NDArray[np.float64]
    ok: int
    left_out: int

    @property
    def at_chosen(self) -> NDArray[np.float64]:
        """(N,), the IoU at the chosen threshold."""
        return np.asarray(self.found[:, ALPHAS.index(self.chosen.alpha)])

    def to_json(self) -> dict[str, Any]:
        """The error with its interval, and the sweep."""
        share, interval = share_of(errors(self.at_chosen))
        return {
            "alpha": self.chosen.alpha,
            "error": share,
            "interval": None if interval is None else list(interval),
            "mean_iou": float(self.at_chosen.mean()),
            "error_held_out": None if math.isnan(self.chosen.error) else self.chosen.error,
            "ok": self.ok,
            "images": len(self.found),
            "boxes_unusable": self.left_out,
            "sweep": dict(zip(map(str, ALPHAS), errors(self.found).mean(0).tolist(), strict=True)),
        }


class Measured(NamedTuple):
    """found: (thresholds,), the IoU of the box around the mask at each; 0 without a usable mask. whole: that of the
    whole photograph as the box. ok: whether the mask is `ok`."""

    found: NDArray[np.float64]
    whole: float
    ok: bool


def measured(one: Masked) -> Measured | None:
    """The IoUs of an image; None where its boxes do not fit the photograph, so that nothing can be measured."""
    nothing = np.zeros(len(ALPHAS))
    if one.size is None:  # the photograph could not be read
        return Measured(nothing, 0.0, False)
    regions, ok = one.regions(), one.status == ImageStatus.OK
    if not regions:
        return None
    uniform = np.ones((1, 1), np.float32)
    everything = float(overlaps(uniform, one.size, whole(one.size), regions, (0.0,))[0])
    if one.mask is None or one.seen is None:
        return Measured(nothing, everything, ok)
    return Measured(overlaps(one.mask, one.size, one.seen, regions), everything, ok)


def _row(name: str, score: Score) -> tuple[str, ...]:
    share, interval = share_of(errors(score.at_chosen))
    return (
        name,
        f"{score.chosen.alpha:g}",
        percent(share, interval),
        f"{score.at_chosen.mean():.3f}",
        usable(score.ok, len(score.found)),
    )

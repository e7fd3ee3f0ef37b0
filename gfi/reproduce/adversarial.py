"""FGSM adversarial images (Du et al. 2018, section 4.5): does the mask of the original class still land on the object?

The paper shows one image. Here every image of a dataset with boxes whose label the network predicts (without a label:
any) is changed by one step of size ε, for several ε. The pictures are stored, and the class that was predicted for the
unchanged picture is explained on each by ordinary jobs. A picture is *fooled* where the network now predicts another
class.

The pictures are made in this process from the registered model's files (`gfi.reproduce.fgsm`), once, in a folder whose
name contains the digest of model and listing.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.decode import decode
from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import Listed, Source
from gfi.domain.class_index import ClassIndex
from gfi.domain.digests import digest
from gfi.domain.geometry import Rectangle, scaled
from gfi.domain.presets import PRESETS
from gfi.domain.statuses import ImageStatus
from gfi.metrics.iou_box import ALPHA
from gfi.metrics.localisation import OVERLAP, overlaps
from gfi.metrics.pointing import strongest, within
from gfi.reproduce.experiment import (
    Ask,
    Example,
    Listing,
    Read,
    Report,
    Table,
    options_of,
    percent,
    share_of,
    usable,
)

if TYPE_CHECKING:
    from gfi.method.classifiers import Classifier

METHODS = ("paper", "released", "tuned", "grad-cam", "rise")
LEVELS = (0, 1, 2, 4, 8, 16)
"""ε in 255ths; 0 is the unchanged picture."""


@dataclass(frozen=True)
class Options:
    """levels: ε in 255ths. images: only the first so many that can be used; None: all."""

    levels: tuple[int, ...] = LEVELS
    images: int | None = None


@dataclass(frozen=True)
class Pictures:
    """A listing for each ε, and the original class of each picture by its key."""

    levels: tuple[int, ...]
    listings: tuple[Listing, ...]
    targets: Mapping[str, int]


def make_pictures(
    source: Source,
    classifier: "Classifier",
    folder: Path,
    options: Options,
    classes: ClassIndex,
) -> Pictures:
    """The pictures of every ε, made unless an earlier run made them. DatasetError if no image can be used."""
    listed = [item for item in source.list() if item.boxes]
    versions = [[item.key, item.version] for item in listed]
    identity = digest([source.spec, classifier.digest, list(options.levels), options.images, versions])
    made = folder / f"pictures-{identity[:12]}"
    done = made / "done.json"
    if not done.exists():
        rows, left_out = _make(source, listed, classifier, made, options, classes)
        if not rows:
            raise DatasetError(
                f"{source.describe()}: no image can be used: {len(listed):,} have boxes, of which the network predicts"
                f" another class than the label for {left_out['wrong']:,}"
            )
        fresh = done.with_suffix(".new")
        fresh.write_text(json.dumps({"rows": rows, "left_out": left_out}))
        fresh.replace(done)
    return _pictures(made, json.loads(done.read_text()), options.levels)


def _make(
    source: Source,
    listed: Sequence[Listed],
    classifier: "Classifier",
    made: Path,
    options: Options,
    classes: ClassIndex,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Write the pictures below `made`. Returns a row for each image, and how many were left out by reason."""
    from gfi.reproduce.fgsm import Canvas, fgsm, predicted

    rows: list[dict[str, Any]] = []
    left_out = {"wrong": 0, "unusable": 0}
    for item in listed:
        if options.images is not None and len(rows) >= options.images:
            break
        try:
            data = source.fetch(item.key, item.version).data
            photograph = decode(data, window=classifier.preprocess.window)
        except DatasetError:
            left_out["unusable"] += 1
            continue
        canvas = Canvas(photograph.rgb, classifier, PRESETS["paper"])
        shown = canvas.shown()
        target = predicted(shown, classifier)
        if item.label is not None and classes.find(item.label) != target:
            left_out["wrong"] += 1
            continue
        own = [box for box in item.boxes if box.label is None or classes.find(box.label) == target]
        settled = settle_boxes(own, photograph.size, photograph.orientation).boxes
        if not settled:
            left_out["unusable"] += 1
            continue
        name = f"{len(rows):05d}.png"
        changed = fgsm(shown, target, options.levels, classifier)
        for level, pixels in zip(options.levels, changed, strict=True):
            _save(canvas.picture(pixels), made / f"eps-{level}" / name)
        decoded = photograph.rgb.shape[0], photograph.rgb.shape[1]
        boxes: list[Rectangle] = [canvas.box(scaled(box.sides, photograph.size, decoded)) for box in settled]
        label = _label(classes, target)
        rows.append({"key": name, "from": item.key, "target": target, "label": label, "boxes": boxes})
    return rows, left_out


def _label(classes: ClassIndex, target: int) -> str:
    """A label that means this class: its WordNet id, name or index, whichever is not ambiguous."""
    known = [names[target] for names in (classes.wordnet_ids, classes.class_names) if target < len(names)]
    return next((name for name in (*known, str(target)) if classes.find(name) == target), str(target))


def _save(pixels: NDArray[np.uint8], file: Path) -> None:
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def _pictures(made: Path, done: dict[str, Any], levels: tuple[int, ...]) -> Pictures:
    left_out, rows = done["left_out"], done["rows"]
    notes = []
    if left_out["wrong"]:
        notes.append(f"{left_out['wrong']:,} images whose label the network does not predict are left out")
    if left_out["unusable"]:
        notes.append(f"{left_out['unusable']:,} images without usable boxes or pixels are left out")
    examples = tuple(
        Example(row["key"], row["label"], tuple(Box(None, *box) for box in row["boxes"])) for row in rows
    )
    listings = (Listing(f"eps {level}", made / f"eps-{level}", examples, tuple(notes)) for level in levels)
    return Pictures(levels, tuple(listings), {row["key"]: row["target"] for row in rows})


@dataclass(frozen=True)
class Landing:
    """Where the mask of one picture lies. fooled: the network predicts another class. hit: the strongest point is in a
    box. found: the box around the mask overlaps one by more than half. centre: the middle of the picture is in one."""

    key: str
    fooled: bool
    hit: bool
    found: bool
    centre: bool
    ok: bool


class Adversarial:
    """The experiment. source: the images, in words."""

    name = "adversarial"

    def __init__(
        self, model: str, pictures: Pictures, methods: Sequence[str] = METHODS, source: str = ""
    ) -> None:
        self._model, self._pictures, self._source = model, pictures, source
        self._methods = {method: options_of(method) for method in methods}

    def asks(self) -> Sequence[Ask]:
        return [self._ask(method, listing) for method in self._methods for listing in self._pictures.listings]

    def _ask(self, method: str, listing: Listing) -> Ask:
        return Ask(method, listing, self._methods[method] | {"target": "auto"})

    def report(self, read: Read) -> Report:
        rows, numbers = [], []
        for method in self._methods:
            for level, listing in zip(self._pictures.levels, self._pictures.listings, strict=True):
                landed = _landings(read, self._ask(method, listing), self._pictures.targets)
                row, values = _row(landed)
                rows.append((method, str(level), *row))
                numbers.append({"method": method, "epsilon": level, **values})
        centre = float(np.mean([one.centre for one in landed])) if landed else math.nan
        rows.append(("the middle", "–", "–", percent(centre), "–", "–", "–"))
        table = Table(
            f"Masks of the original class on FGSM pictures, {self._model}, {len(self._pictures.targets):,} images",
            (
                *("method", "ε × 255", "fooled, %", "point in a box, % (95 %)", "of the fooled, % (95 %)"),
                *("box found, % (95 %)", "`ok`"),
            ),
            tuple(rows),
        )
        differences = (
            *self._pictures.listings[0].notes,
            "the paper shows one picture and prints no number",
            f"the images are {self._source}, and the network is {self._model}" if self._source else "",
            f"a box is found if that around the mask at {ALPHA:g} × its mean has an IoU above {OVERLAP:g}",
            "pictures are at the network's input size and have whole values; boxes are scaled with them",
        )
        return Report(
            "Adversarial images",
            (table,),
            tuple(filter(None, differences)),
            {"rows": numbers, "centre": centre},
        )


def _landings(read: Read, ask: Ask, targets: Mapping[str, int]) -> list[Landing]:
    landed = []
    for one in read(ask):
        regions = one.regions()
        if one.size is None or not regions:
            landed.append(Landing(one.example.key, False, False, False, False, False))
            continue
        hit = found = False
        if one.mask is not None and one.seen is not None:
            point = strongest(one.mask, one.size, one.seen)
            hit = point is not None and within(point, regions, one.size, 0.0)
            found = bool(overlaps(one.mask, one.size, one.seen, regions, (ALPHA,))[0] > OVERLAP)
        landed.append(
            Landing(
                one.example.key,
                one.prediction != targets[one.example.key],
                hit,
                found,
                within((one.size[0] // 2, one.size[1] // 2), regions, one.size, 0.0),
                one.status == ImageStatus.OK,
            )
        )
    return landed


def _row(landed: Sequence[Landing]) -> tuple[tuple[str, ...], dict[str, Any]]:
    hits, found = (np.array([getattr(one, name) for one in landed], bool) for name in ("hit", "found"))
    fooled = np.array([one.fooled for one in landed], bool)
    shares = {"hit": share_of(hits), "hit_of_fooled": share_of(hits[fooled]), "found": share_of(found)}
    ok = sum(one.ok for one in landed)
    cells = (
        percent(share_of(fooled)[0]),
        *(percent(*one) for one in shares.values()),
        usable(ok, len(landed)),
    )
    numbers: dict[str, Any] = {"images": len(landed), "fooled": int(fooled.sum()), "ok": ok}
    for name, (mean, interval) in shares.items():
        numbers[name] = None if math.isnan(mean) else mean
        numbers[f"{name}_interval"] = interval and list(interval)
    return cells, numbers

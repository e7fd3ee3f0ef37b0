"""Labels and boxes: which class an image is said to show, and where.

A `Box` is half-open, in pixels of the original *after* EXIF orientation, the picture as a person sees it
and as `decode` returns it: it covers columns left … right−1 and rows top … bottom−1, so its area is
(right−left)·(bottom−top) and the whole picture is (0, 0, W, H).

Files count differently, and are translated when read:

- PASCAL VOC: one-based, both ends inside.  left = xmin−1, right = xmax.
- ImageNet (XML and LOC_*_solution.csv): zero-based (zeros occur), both ends inside.  left = xmin,
  right = xmax+1, cut at the picture's edge where its size is known.
- our own manifests: as above, [left, top, right, bottom].
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from gfi.datasets.errors import DatasetError


def check_text(what: str, text: str | None, limit: int = 512) -> None:
    """DatasetError unless Parquet and PostgreSQL can store and index `text`: UTF-8, no NUL, `limit` bytes."""
    try:
        if text is not None and ("\0" in text or len(text.encode()) > limit):
            raise DatasetError(f"{what} {text[:60]!r}… holds a NUL or is longer than {limit:,} bytes")
    except UnicodeEncodeError:
        raise DatasetError(f"{what} {text!r} is not Unicode; rename it") from None


@dataclass(frozen=True)
class Box:
    """One object: half-open, in original pixels after EXIF orientation. label: None for the image's own."""

    label: str | None
    left: float
    top: float
    right: float
    bottom: float
    difficult: bool = False

    def __post_init__(self) -> None:
        check_text("a box's label", self.label)
        # Written so that NaN fails too.
        if not (0 <= self.left < self.right < 1e9 and 0 <= self.top < self.bottom < 1e9):
            raise DatasetError(
                f"box ({self.left:g}, {self.top:g}, {self.right:g}, {self.bottom:g}) is not "
                "0 ≤ left < right, 0 ≤ top < bottom"
            )

    @staticmethod
    def from_json(value: Any) -> "Box":
        """[left, top, right, bottom] or {"left", "top", "right", "bottom", "label"?, "difficult"?}."""
        label, difficult = None, False
        if isinstance(value, Mapping):
            unknown = set(value) - {"left", "top", "right", "bottom", "label", "difficult"}
            if unknown:
                raise DatasetError(f"a box has no {sorted(map(str, unknown))[0]!r}")
            label, difficult = value.get("label"), bool(value.get("difficult", False))
            value = [value.get(side) for side in ("left", "top", "right", "bottom")]
        if (
            not isinstance(value, Sequence)
            or len(value) != 4
            or not all(isinstance(side, int | float) and not isinstance(side, bool) for side in value)
        ):
            raise DatasetError("a box is [left, top, right, bottom] or an object with these four numbers")
        left, top, right, bottom = map(float, value)
        return Box(None if label is None else str(label), left, top, right, bottom, difficult)

    def to_json(self) -> dict[str, Any]:
        """The same with names, label and difficult left out where they say nothing."""
        named = {side: getattr(self, side) for side in ("left", "top", "right", "bottom")}
        return (
            named
            | ({"label": self.label} if self.label else {})
            | ({"difficult": True} if self.difficult else {})
        )


# --- PASCAL VOC and ImageNet XML -----------------------------------------------------------------------

_ANNOTATION_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Annotation:
    """What one XML file says: size (H, W) or None, and the objects in file order."""

    size: tuple[int, int] | None
    boxes: tuple[Box, ...]


def read_xml(path: Path, one_based: bool) -> Annotation:
    """One VOC-style annotation file. one_based: True for VOC, False for ImageNet."""
    try:
        with path.open("rb") as file:
            data = file.read(_ANNOTATION_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"cannot read the annotation {path}: {error.strerror}") from error
    if len(data) > _ANNOTATION_BYTES:
        raise DatasetError(f"the annotation {path} is larger than {_ANNOTATION_BYTES // 2**20} MiB")
    try:
        return parse_xml(data, one_based)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def parse_xml(data: bytes, one_based: bool) -> Annotation:
    """As `read_xml`, from bytes. A DTD, and with it every entity bomb and outside reference, is refused."""
    root = _tree(data)
    size, width, height = None, float("inf"), float("inf")
    if root.find("size") is not None:
        width, height = _number(root, "size/width"), _number(root, "size/height")
        if width < 1 or height < 1:  # a few ImageNet files say 0×0
            width = height = float("inf")
        else:
            size = (round(height), round(width))
    before, after = (1, 0) if one_based else (0, 1)
    boxes = []
    for thing in root.iter("object"):
        label = (thing.findtext("name") or "").strip() or None
        box = Box(
            label,
            max(0.0, _number(thing, "bndbox/xmin") - before),
            max(0.0, _number(thing, "bndbox/ymin") - before),
            min(width, _number(thing, "bndbox/xmax") + after),
            min(height, _number(thing, "bndbox/ymax") + after),
            difficult=(thing.findtext("difficult") or "0").strip() == "1",
        )
        boxes.append(box)
    return Annotation(size, tuple(boxes))


def _tree(data: bytes) -> Element:
    """ElementTree's own builder behind an expat parser that stops at a DOCTYPE."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: Any) -> None:
        raise DatasetError("an annotation with a DTD is refused")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, ValueError, AssertionError) as error:
        raise DatasetError(f"not XML: {error}") from error


def _number(element: Element, path: str) -> float:
    text = (element.findtext(path) or "").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"<{path.replace('/', '><')}> is {text[:40]!r}, not a number")
    return number


# --- ImageNet's CSV ------------------------------------------------------------------------------------


def read_localisation(path: Path) -> dict[str, tuple[Box, ...]]:
    """LOC_val_solution.csv or LOC_train_solution.csv: image id → its boxes, labelled with WordNet ids.

    About 600 bytes an image in memory: 30 MB for the 50,000 of val.
    """
    found: dict[str, tuple[Box, ...]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.reader(file), 1):
                if line == 1 and row[:1] == ["ImageId"]:
                    continue
                try:
                    found[row[0]] = _prediction(row[1])
                except (IndexError, ValueError, DatasetError) as error:
                    raise DatasetError(
                        f"{path} line {line}: not `id,wordnet left top right bottom …`: {error}"
                    ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    return found


def _prediction(text: str) -> tuple[Box, ...]:
    words = text.split()
    if not words or len(words) % 5:
        raise ValueError(f"{len(words)} words")
    boxes = []
    for i in range(0, len(words), 5):
        left, top, right, bottom = map(float, words[i + 1 : i + 5])
        boxes.append(Box(words[i], left, top, right + 1, bottom + 1))
    return tuple(boxes)


# --- which class a label means -------------------------------------------------------------------------

_WORDNET = re.compile(r"(n\d{8})(?:[_\s-].*)?")


def _loose(name: str) -> str:
    return " ".join(re.sub(r"[_\-\s]+", " ", name).casefold().split())


@dataclass(frozen=True)
class ClassIndex:
    """From what a dataset calls a class to the classifier's index.

    class_names: one a class, synonyms after commas ("tench, Tinca tinca"). wordnet_ids: one a class, or ().
    """

    class_names: Sequence[str]
    wordnet_ids: Sequence[str] = ()
    _wordnet: dict[str, int] = field(init=False, repr=False, compare=False)
    _exact: dict[str, int | None] = field(init=False, repr=False, compare=False)
    _tolerant: dict[str, int | None] = field(init=False, repr=False, compare=False)

    @classmethod
    def of(cls, class_names: Sequence[str], wordnet_ids: Sequence[str], classes: int) -> "ClassIndex":
        """Of a model; one that came without names has its `classes` by index alone."""
        return cls(class_names or [str(index) for index in range(classes)], wordnet_ids)

    def __post_init__(self) -> None:
        exact: dict[str, int | None] = {}
        tolerant: dict[str, int | None] = {}
        for index, name in enumerate(self.class_names):
            for word in {name, *name.split(",")}:
                for table, key in ((exact, word.strip()), (tolerant, _loose(word))):
                    if key:
                        table[key] = index if table.get(key, index) == index else None
        by_wordnet = {wordnet: index for index, wordnet in enumerate(self.wordnet_ids)}
        object.__setattr__(self, "_wordnet", by_wordnet)
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_tolerant", tolerant)

    def find(self, label: str | int | None) -> int | None:
        """The class `label` means; None when it means none, or more than one.

        In this order: a WordNet id ("n01440764", also "n01440764_tench"); a name or synonym as written; the
        same ignoring case, underscores and hyphens; an index. A name comes before an index so that classes
        called "1" … "9", "0" are found by name. "crane", bird and machine, is ambiguous: None.
        """
        if label is None or isinstance(label, bool):
            return None
        if isinstance(label, int):
            return label if 0 <= label < self.count else None
        text = label.strip()
        wordnet = _WORDNET.fullmatch(text)
        if wordnet and self.wordnet_ids:
            return self._wordnet.get(wordnet[1])
        for table, key in ((self._exact, text), (self._tolerant, _loose(text))):
            if key in table:
                return table[key]
        if text.isascii() and text.isdigit() and len(text) < 10:
            return self.find(int(text))
        return None

    @property
    def count(self) -> int:
        return max(len(self.class_names), len(self.wordnet_ids))

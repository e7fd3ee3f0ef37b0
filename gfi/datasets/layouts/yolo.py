"""YOLO (kind `yolo`): one text file an image, in a folder `labels` beside the folder `images`.

    ROOT/data.yaml, ROOT/images/val/1.jpg, ROOT/labels/val/1.txt
    ROOT/data.yaml, ROOT/val/images/1.jpg, ROOT/val/labels/1.txt

A line is `class centre_x centre_y width height`, or `class x1 y1 x2 y2 …` of a polygon, in fractions of the photograph.
`names` of data.yaml (or of any other .yaml there, or the lines of classes.txt) gives the classes; without it a label is
the number. `?split=val` reads the images below a folder of that name. The label is the class of the objects if all have
the same, else none. An image without a text file, or with an empty one, has no object. Keys are paths below ROOT.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from gfi.datasets.annotations.boxes import ImageBoxes, RawBox, around, decide
from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import Selection
from gfi.datasets.labels import labels_of
from gfi.datasets.listing import Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes

IMAGES = ("images", "image", "imgs", "img")
_LIMIT = 2**20
"""Bytes of data.yaml, and of one text file."""


class Yolo:
    """kind: `yolo`. split: the name of a folder above the images, None for all."""

    kind = "yolo"

    def __init__(self, roots: local.Roots, split: str | None = None):
        roots.require_folder()
        self._roots, self._split = roots, split
        self._names = _class_names(roots.base)
        self.spec = with_options(f"yolo:{roots.base}", split=split)

    def describe(self) -> str:
        return f"YOLO layout {self.spec.removeprefix('yolo:')}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._roots.base, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        if not self._names:
            notes.say("no data.yaml names the classes, so a label is its number")
        for key, status in self._images(notes):
            folders = PurePosixPath(key).parts[:-1]
            if self._split is not None and self._split not in folders:
                notes.skip(f"not below {self._split}/", key)
                continue
            place = next(at for at, name in enumerate(folders) if name.lower() in IMAGES)
            beside = PurePosixPath(*folders[:place], "labels", *folders[place + 1 :])
            read = self._boxes(str(beside / f"{PurePosixPath(key).stem}.txt"))
            notes.boxes(read, key)
            label, labels = labels_of((box.label for box in read.boxes), key, notes)
            yield Listed(
                *(key, status.st_size, local.version_of(status), label, read.boxes),
                boxes_error=read.error,
                labels=labels,
            )

    def _images(self, notes: ListingNotes) -> Iterator[tuple[str, os.stat_result]]:
        """(key, status) of the photographs below ROOT/images or ROOT/SPLIT/images."""
        own = [
            path
            for path in sorted(self._roots.base.iterdir())
            if path.is_dir() and not path.name.startswith(".")
        ]
        places = [path for path in own if path.name.lower() in IMAGES]
        for path in own if not places else ():
            places += [
                inside
                for inside in sorted(path.iterdir())
                if inside.name.lower() in IMAGES and inside.is_dir()
            ]
        for place in places:
            self._roots.inside(place)
            yield from local.walk(self._roots, place, local.images(Selection()), notes)

    def _boxes(self, key: str) -> ImageBoxes:
        try:
            path = self._roots.locate(key)
            if not path.is_file():
                return ImageBoxes()
            lines = _text(path).splitlines()
            raw = [self._raw(line.split()) for line in lines if line.strip()]
            return decide(raw, "fraction")
        except DatasetError as error:
            return ImageBoxes(error=f"{key}: {error}")

    def _raw(self, words: Sequence[str]) -> RawBox:
        try:
            number, sides = int(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            raise DatasetError(f"the line {' '.join(words)[:60]!r} is not a class and numbers") from None
        if self._names and number not in self._names:
            raise DatasetError(f"class {number} has no name in data.yaml")
        label = self._names.get(number, str(number))
        if len(sides) >= 6 and len(sides) % 2 == 0:
            return around(list(zip(sides[::2], sides[1::2], strict=True)), label)
        if len(sides) not in (4, 5):  # predictions have a confidence as well
            raise DatasetError(f"the line {' '.join(words)[:60]!r} is neither a box nor a polygon")
        x, y, width, height = sides[:4]
        return RawBox(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = local.read(self._roots.locate(key))
        return fetched(data, seen, version)


def _class_names(base: Path) -> Mapping[int, str]:
    """The classes by number; empty where no file names them."""
    files = [base / "data.yaml", *sorted(base.glob("*.yaml")), *sorted(base.glob("*.yml"))]
    for file in files:
        if file.is_file():
            names = _names_in(file)
            if names:
                return names
    listed = base / "classes.txt"
    lines = _text(listed).splitlines() if listed.is_file() else []
    return dict(enumerate(line.strip() for line in lines if line.strip()))


def _names_in(file: Path) -> dict[int, str]:
    text = _text(file)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            # A few lines of aliases of aliases stand for gigabytes.
            raise DatasetError(f"{file} is not read, because it has aliases (`*name`); write them out")
        value = yaml.safe_load(text)
    except RecursionError:
        raise DatasetError(f"{file} is not read, because it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise DatasetError(f"{file} is not YAML: {' '.join(str(error).split())[:200]}") from None
    names: Any = value.get("names") if isinstance(value, dict) else None
    if names is None:
        return {}
    try:
        numbered = names.items() if isinstance(names, dict) else enumerate(names)
        if isinstance(names, str) or not all(isinstance(name, str | int | float) for _, name in numbered):
            raise TypeError
        return {
            int(n): str(name) for n, name in (names.items() if isinstance(names, dict) else enumerate(names))
        }
    except (TypeError, ValueError):
        raise DatasetError(f"{file}: `names` is a list of names, or names by number") from None


def _text(path: Path) -> str:
    data, _ = local.read(path)
    if len(data) > _LIMIT:
        raise DatasetError(f"{path} is longer than {_LIMIT:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not UTF-8") from None

"""Datasets in the layout in which their makers hand them out, with their labels and boxes.

PASCAL VOC (kind `voc`)
    ROOT/JPEGImages/000005.jpg, ROOT/Annotations/000005.xml, ROOT/ImageSets/Main/test.txt
    `?split=test` reads the images of that list; without it, all of JPEGImages. The label is the class of
    the objects when all are of one class, else none: the boxes carry their own.

ImageNet (kind `imagenet`)
    ROOT/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG    as on Kaggle; ROOT may be ILSVRC itself
    ROOT/ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_18.JPEG
    ROOT/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml
    ROOT/LOC_val_solution.csv
    `?split=val` (the default) or `?split=train`. The label is the WordNet id: the class folder's name, else
    the first of LOC_{split}_solution.csv, else that of the annotation. Boxes come from the annotation file,
    else from the CSV.

Keys are paths below ROOT. Annotations are read while listing, one file an image.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from gfi.datasets.annotations import Box, read_localisation, read_xml
from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import Fetched, Listed, fetched, or_empty
from gfi.datasets.media import local

_SPLIT = re.compile(r"\w[\w-]*")
_IMAGES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
_WORDNET = re.compile(r"n\d{8}")


class Voc:
    """kind: `voc`. split: a list in ImageSets/Main, None for every image."""

    kind = "voc"

    def __init__(self, roots: local.Roots, split: str | None = None):
        roots.require_folder()
        self._roots = roots
        self._images = roots.base / "JPEGImages"
        if not self._images.is_dir():
            raise DatasetError(f"{roots.base} holds no JPEGImages/; the root of a VOC layout does")
        self._list_file: Path | None = None
        if split is not None:
            lists = roots.base / "ImageSets" / "Main"
            self._list_file = lists / f"{split}.txt"
            if not _SPLIT.fullmatch(split) or not self._list_file.is_file():
                known = sorted(path.stem for path in lists.glob("*.txt"))[:20]
                raise DatasetError(f"no list {split!r} in {lists}; there are {', '.join(known) or 'none'}")
        self.spec = f"voc:{roots.base}" + (f"?split={split}" if split else "")

    def describe(self) -> str:
        return f"VOC layout {self.spec.removeprefix('voc:')}"

    def list(self) -> Iterator[Listed]:
        return or_empty(self._list(), self._images)

    def _list(self) -> Iterator[Listed]:
        wanted = None if self._list_file is None else self._names()
        left = set(wanted or ())
        for key, status in local.walk(self._roots, self._images):
            name = Path(key).stem
            if wanted is not None:
                if name not in wanted:
                    continue
                left.discard(name)
            annotation = self._roots.locate(f"Annotations/{name}.xml")
            boxes = read_xml(annotation, one_based=True).boxes if annotation.is_file() else ()
            labels = {box.label for box in boxes}
            yield Listed(
                key,
                status.st_size,
                local.version_of(status),
                labels.pop() if len(labels) == 1 else None,
                boxes,
            )
        if left:
            raise DatasetError(
                f"{self._list_file} names {len(left)} images that JPEGImages/ lacks, {min(left)} among them"
            )

    def _names(self) -> set[str]:
        """The ids of the list, 4,952 of VOC07 test. Of a class list (`cat_test`) those not marked −1."""
        assert self._list_file is not None
        names = set()
        try:
            with self._list_file.open(encoding="utf-8") as file:
                for line in file:
                    words = line.split()
                    if words and words[-1] != "-1":
                        names.add(words[0])
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"cannot read {self._list_file}: {error}") from error
        if not names:
            raise DatasetError(f"{self._list_file} names no image")
        return names

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = local.read(self._roots.locate(key))
        return fetched(data, seen, version)


class ImageNet:
    """kind: `imagenet`. split: val, train, or another folder beside them."""

    kind = "imagenet"

    def __init__(self, roots: local.Roots, split: str = "val"):
        roots.require_folder()
        self._roots, self._split = roots, split
        found = [roots.base / place / split for place in (*_IMAGES, ".")]
        if not _SPLIT.fullmatch(split) or not any(folder.is_dir() for folder in found):
            raise DatasetError(f"{roots.base} holds neither {_IMAGES[0]}/{split}/ nor {split}/")
        self._images = next(folder for folder in found if folder.is_dir())
        self.spec = f"imagenet:{roots.base}?split={split}"

    def describe(self) -> str:
        return f"ImageNet layout {self._roots.base}, {self._split}"

    def list(self) -> Iterator[Listed]:
        return or_empty(self._list(), self._images)

    def _list(self) -> Iterator[Listed]:
        root = self._roots.base
        places = ("ILSVRC/Annotations/CLS-LOC", "Annotations/CLS-LOC", "Annotations")
        annotations = next((p for p in places if (root / p / self._split).is_dir()), None)
        tables = [place / f"LOC_{self._split}_solution.csv" for place in (root, root / "ILSVRC", root.parent)]
        table = next((t for t in tables if self._roots.contains(t.resolve()) and t.is_file()), None)
        # Of train, half a million rows, only the annotation files are used where they are there.
        solution = read_localisation(table) if table and not (annotations and self._split == "train") else {}
        inside = self._images.relative_to(root).as_posix() + "/"
        for key, status in local.walk(self._roots, self._images):
            below = key.removeprefix(inside).removeprefix("./")
            boxes: tuple[Box, ...] = ()
            if annotations:
                xml = self._roots.locate(f"{annotations}/{self._split}/{Path(below).with_suffix('.xml')}")
                boxes = read_xml(xml, one_based=False).boxes if xml.is_file() else ()
            answer = solution.get(Path(below).stem, ())
            folder = below.partition("/")[0] if "/" in below else ""
            names = [folder] if _WORDNET.fullmatch(folder) else [box.label for box in (*answer, *boxes)]
            yield Listed(
                key,
                status.st_size,
                local.version_of(status),
                next(iter(names), None),
                boxes or answer,
            )

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = local.read(self._roots.locate(key))
        return fetched(data, seen, version)


def is_imagenet(base: Path) -> bool:
    """Whether a folder has ImageNet's own sub-folders."""
    return any((base / place).is_dir() for place in _IMAGES)

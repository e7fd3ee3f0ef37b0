"""ImageNet as its challenge is unpacked (kind `imagenet`).

    ROOT/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG    as on Kaggle; ROOT may be ILSVRC itself
    ROOT/ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_18.JPEG
    ROOT/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml
    ROOT/LOC_val_solution.csv

`?split=val` (the default) or `?split=train`. The label is the WordNet id: the class folder's name, else the
first of LOC_{split}_solution.csv, else that of the annotation. Boxes come from the annotation file, else from
the CSV. Keys are paths below ROOT. Annotations are read while listing, one file an image.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.localisation_csv import read_localisation
from gfi.datasets.annotations.voc_xml import read_xml
from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import Fetched, Listed, fetched, or_empty
from gfi.datasets.media import local

_SPLIT = re.compile(r"\w[\w-]*")
_IMAGES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
_WORDNET = re.compile(r"n\d{8}")


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

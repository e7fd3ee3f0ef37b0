"""PASCAL VOC (kind `voc`).

    ROOT/JPEGImages/000005.jpg, ROOT/Annotations/000005.xml, ROOT/ImageSets/Main/test.txt

`?split=test` reads the images of that list; without it, all of JPEGImages. The labels of an image are the classes of
its objects. Keys are paths below ROOT. Annotations are read while listing, one file per image; if one cannot be read,
its image has no boxes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from gfi.datasets.annotations.boxes import ImageBoxes
from gfi.datasets.annotations.voc_xml import read_image_boxes
from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import Selection
from gfi.datasets.labels import labels_of
from gfi.datasets.listing import Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes

_SPLIT = re.compile(r"\w[\w-]*")


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
        self._split = split
        self.spec = with_options(f"voc:{roots.base}", split=split)

    def describe(self) -> str:
        return f"VOC layout {self.spec.removeprefix('voc:')}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._images, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        wanted = None if self._list_file is None else self._names()
        left = set(wanted or ())
        for key, status in local.walk(self._roots, self._images, local.images(Selection()), notes):
            name = Path(key).stem
            if wanted is not None:
                if name not in wanted:
                    notes.skip(f"not in the list {self._split}", key)
                    continue
                left.discard(name)
            read = self._boxes(name)
            notes.boxes(read, key)
            label, labels = labels_of((box.label for box in read.boxes), key, notes)
            yield Listed(
                key,
                status.st_size,
                local.version_of(status),
                label,
                read.boxes,
                boxes_error=read.error,
                labels=labels,
            )
        if left:
            raise DatasetError(
                f"{self._list_file} names {len(left)} images that JPEGImages/ does not contain, for example {min(left)}"
            )

    def _boxes(self, name: str) -> ImageBoxes:
        try:
            annotation = self._roots.locate(f"Annotations/{name}.xml")
        except DatasetError as error:
            return ImageBoxes(error=str(error))
        if not annotation.is_file():
            return ImageBoxes(error=f"there is no annotation Annotations/{name}.xml")
        return read_image_boxes(annotation, one_based=True)

    def _names(self) -> set[str]:
        """The ids of the list (4,952 in VOC07 test). Of a class list (`cat_test`), those that are not marked −1."""
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

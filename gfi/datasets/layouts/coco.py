"""COCO (kind `coco`): annotation files in JSON beside folders of images.

    ROOT/annotations/instances_val2017.json, ROOT/val2017/000000000139.jpg, also ROOT/images/…
    ROOT/valid/_annotations.coco.json, ROOT/valid/1.jpg            (as Roboflow writes it)

`?split=val2017` reads the annotation file with this word in its path; where there is one file it is not needed. The
labels of an image are the categories of its objects. Keys are paths below ROOT. Images that the file does not name are
not listed.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from gfi.datasets.annotations.coco_json import CocoImage, read_coco
from gfi.datasets.errors import DatasetError
from gfi.datasets.labels import labels_of
from gfi.datasets.listing import Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes

MISSING = "named in the annotations and not there"
_OTHER_TASKS = re.compile(r"^(captions|person_keypoints|stuff|panoptic|image_info)_")


def annotation_files(base: Path) -> list[Path]:
    """The files that may hold the annotations of a COCO dataset, sorted."""
    places = [base, *(path for path in base.iterdir() if path.is_dir() and not path.is_symlink())]
    found = {
        file
        for place in places
        for pattern in ("*coco*.json", "instances_*.json")
        for file in place.glob(pattern)
    }
    annotations = base / "annotations"
    if annotations.is_dir():
        found |= set(annotations.glob("*.json"))
    return sorted(file for file in found if not _OTHER_TASKS.match(file.name))


class Coco:
    """kind: `coco`. split: a word in the path of the annotation file; None where there is only one."""

    kind = "coco"

    def __init__(self, roots: local.Roots, split: str | None = None):
        roots.require_folder()
        self._roots, self._split = roots, split
        files = annotation_files(roots.base)
        chosen = [file for file in files if split is None or split in _words(file.relative_to(roots.base))]
        if len(chosen) != 1:
            known = ", ".join(file.relative_to(roots.base).as_posix() for file in files[:20]) or "none"
            asked = "" if split is None else f" of the split {split!r}"
            raise DatasetError(
                f"{roots.base} has {len(chosen)} annotation files{asked}; say ?split= with a word of one of: {known}"
            )
        self._file = roots.inside(chosen[0])
        self.spec = with_options(f"coco:{roots.base}", split=split)

    def describe(self) -> str:
        return f"COCO layout {self.spec.removeprefix('coco:')}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._roots.base, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        images = read_coco(self._file)
        folder = self._folder(images)
        for image in sorted(images, key=lambda one: one.file_name):
            key = str(PurePosixPath(folder) / image.file_name)
            try:
                status = self._roots.locate(key).stat()
            except (OSError, DatasetError):
                notes.skip(MISSING, image.file_name)
                continue
            notes.boxes(image.boxes, key)
            label, labels = labels_of((box.label for box in image.boxes.boxes), key, notes)
            boxes = image.boxes
            yield Listed(
                *(key, status.st_size, local.version_of(status), label, boxes.boxes),
                boxes_error=boxes.error,
                labels=labels,
            )

    def _folder(self, images: Sequence[CocoImage]) -> str:
        """The folder below ROOT in which the images lie: the first in which one of the first images is found."""
        beside = self._file.parent.relative_to(self._roots.base).as_posix()
        words = [word for word in _words(self._file.relative_to(self._roots.base)) if word]
        folders = [beside, ".", "images", "image", *words, *(f"images/{word}" for word in words)]
        for image in images[:20]:
            for folder in folders:
                with suppress(DatasetError):  # a name that leads out of the dataset
                    if self._roots.locate(f"{folder}/{image.file_name}").is_file():
                        return folder
        raise DatasetError(
            f"{self._file} names {images[0].file_name if images else 'no image'}, which is in none of the folders"
            f" {', '.join(folders)} of {self._roots.base}"
        )

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = local.read(self._roots.locate(key))
        return fetched(data, seen, version)


def _words(path: Path) -> list[str]:
    """`annotations/instances_val2017.json` → annotations, instances, val2017."""
    return [word for part in path.with_suffix("").parts for word in re.split(r"[_.]", part)]

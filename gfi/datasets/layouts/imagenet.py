"""ImageNet in the layout of its challenge (kind `imagenet`).

    ROOT/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG    as on Kaggle; ROOT may be ILSVRC itself
    ROOT/ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_18.JPEG
    ROOT/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml
    ROOT/LOC_val_solution.csv

`?split=val` (the default) or `?split=train`. The label is the WordNet id: the class folder's name, else the
first of LOC_{split}_solution.csv, else that of the annotation. Boxes come from the annotation file, else from
the CSV. Keys are paths below ROOT. Annotations are read while listing, one file per image, and are found whether or not
images and annotations are sorted into class folders. If one cannot be read, its image has no boxes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gfi.datasets.annotations.boxes import ImageBoxes
from gfi.datasets.annotations.localisation_csv import read_localisation
from gfi.datasets.annotations.voc_xml import read_image_boxes
from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import Selection, is_image
from gfi.datasets.listing import Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes

_SPLIT = re.compile(r"\w[\w-]*")
_IMAGES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
_ANNOTATIONS = ("ILSVRC/Annotations/CLS-LOC", "Annotations/CLS-LOC", "Annotations")
_WORDNET = re.compile(r"n\d{8}")


class ImageNet:
    """kind: `imagenet`. split: val, train, or another folder next to them."""

    kind = "imagenet"

    def __init__(self, roots: local.Roots, split: str = "val"):
        roots.require_folder()
        self._roots, self._split = roots, split
        places = [roots.base / place / split for place in (*_IMAGES, ".")]
        if not _SPLIT.fullmatch(split) or not any(place.is_dir() for place in places):
            raise DatasetError(f"{roots.base} holds neither {_IMAGES[0]}/{split}/ nor {split}/")
        self._images = next(place for place in places if place.is_dir())
        self.spec = with_options(f"imagenet:{roots.base}", split=split)

    @property
    def root(self) -> Path:
        """The folder below which the keys are."""
        return self._roots.base

    def describe(self) -> str:
        return f"ImageNet layout {self._roots.base}, {self._split}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._images, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        root, annotations = self.root, self._annotations()
        tables = [place / f"LOC_{self._split}_solution.csv" for place in (root, root / "ILSVRC", root.parent)]
        table = next((t for t in tables if self._roots.contains(t.resolve()) and t.is_file()), None)
        # The CSV of train has half a million rows and is not read if the annotation files exist.
        solutions = read_localisation(table) if table and not (annotations and self._split == "train") else {}
        if not annotations and not solutions:
            notes.say(
                f"there are neither annotations nor a LOC_{self._split}_solution.csv: no image has boxes"
            )
        inside = self._images.relative_to(root).as_posix() + "/"
        for key, status in local.walk(self._roots, self._images, local.images(Selection()), notes):
            below = key.removeprefix(inside).removeprefix("./")
            read = self._annotation(annotations, below) if annotations else None
            solution = solutions.get(Path(below).stem)
            if solution is not None and (read is None or not read.boxes):
                read = solution.boxes
            if read is None:
                read = ImageBoxes(error="there is no annotation" if annotations or solutions else None)
            notes.boxes(read, key)
            yield Listed(
                key,
                status.st_size,
                local.version_of(status),
                _label(below, solution.label if solution else None, read),
                read.boxes,
                boxes_error=read.error,
            )

    def sample(self, count: int, seed: int) -> tuple[Listed, ...]:
        """Drawn images that have boxes, about equally many of each class folder, in order of their keys: fewer than
        `count` where there are no more. Reads the annotations of these images only.

        DatasetError: there are no annotation files, or no class folders.
        """
        annotations = self._annotations()
        folders = sorted(path for path in self._images.iterdir() if path.is_dir())
        if annotations is None or not folders:
            missing = "annotation files" if annotations is None else f"class folders in {self._images}"
            raise DatasetError(f"{self.root} has no {missing}: no images with boxes can be drawn")
        draw = np.random.default_rng(seed)
        classes = [self._with_boxes(annotations, folders[at], draw) for at in draw.permutation(len(folders))]
        drawn: tuple[Listed, ...] = ()
        while classes and len(drawn) < count:
            found = [(one, next(one, None)) for one in classes[: count - len(drawn)]]
            drawn += tuple(listed for _, listed in found if listed is not None)
            ended = {id(one) for one, listed in found if listed is None}
            classes = [one for one in classes if id(one) not in ended]
        return tuple(sorted(drawn, key=lambda item: item.key))

    def _with_boxes(self, annotations: str, folder: Path, draw: np.random.Generator) -> Iterator[Listed]:
        """The images of a class that have boxes, in a drawn order."""
        names = sorted(path.name for path in folder.iterdir())
        for at in draw.permutation(len(names)):
            if (listed := self._drawn(annotations, folder / names[at])) is not None:
                yield listed

    def _drawn(self, annotations: str, path: Path) -> Listed | None:
        """The image at `path`, if it is one and has boxes."""
        below = path.relative_to(self._images).as_posix()
        read = self._annotation(annotations, below)
        if not is_image(path.name) or read is None or not read.boxes:
            return None
        status = self._roots.inside(path).stat()
        key = path.relative_to(self.root).as_posix()
        return Listed(key, status.st_size, local.version_of(status), _label(below, None, read), read.boxes)

    def _annotations(self) -> str | None:
        """The folder of the annotation files, below the root; None where there is none."""
        places = (*(f"{place}/{self._split}" for place in _ANNOTATIONS), "Annotations")
        return next((place for place in places if (self.root / place).is_dir()), None)

    def _annotation(self, folder: str, below: str) -> ImageBoxes | None:
        """The boxes of the image at `below` the split: its annotation is in one flat folder or in the folder of its
        class."""
        image = Path(below)
        for place in dict.fromkeys(
            (image.with_suffix(".xml"), Path(f"{image.stem}.xml"), Path(image.stem[:9]) / f"{image.stem}.xml")
        ):
            try:
                path = self._roots.locate(f"{folder}/{place}")
            except DatasetError as error:
                return ImageBoxes(error=str(error))
            if path.is_file():
                return read_image_boxes(path, one_based=False)
        return None

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = local.read(self._roots.locate(key))
        return fetched(data, seen, version)


def _label(below: str, solution: str | None, read: ImageBoxes) -> str | None:
    """The WordNet id from the class folder, else from the table, else from the first box."""
    folder = below.partition("/")[0] if "/" in below else ""
    if _WORDNET.fullmatch(folder):
        return folder
    return solution or next((box.label for box in read.boxes), None)


def is_imagenet(base: Path) -> bool:
    """Whether a folder has ImageNet's own sub-folders."""
    return any((base / place).is_dir() for place in _IMAGES)

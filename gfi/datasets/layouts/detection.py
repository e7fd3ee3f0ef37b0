"""Datasets of objects: COCO and YOLO are recognised; folders with other annotations are refused, so that they are not
read as classes."""

from itertools import islice
from pathlib import Path
from typing import Literal

from gfi.datasets.class_folders import is_split
from gfi.datasets.errors import DatasetError
from gfi.datasets.layouts.yolo import IMAGES

_IMAGES = set(IMAGES)
_LABELS = {"labels", "label"}
_BESIDE_IMAGES = {*_LABELS, "annotations", "annotation", "anns", "ann", "masks", "mask"}
_DARKNET = ("obj.data", "obj.names", "_darknet.labels")
_YOLO_BESIDE = "a YOLO dataset, whose labels and boxes are in .txt files next to the photographs"
_ADVICE = (
    "`folder:{place}` reads its photographs without labels; a manifest file with the columns key, label and boxes "
    "reads labels and boxes too"
)


def detection_layout(base: Path) -> Literal["coco", "yolo"] | None:
    """The kind of a folder that holds annotated objects; None for another folder.

    Raises DatasetError for one in another format, or with annotations next to a folder `images`.
    """
    folders = _folders(base)
    places = [base, *(path for path in folders.values() if is_split(path.name))]
    if any(_holds_coco(place) for place in places):
        return "coco"
    for place in places:
        beside = _folders(place)
        pictures = _IMAGES & set(beside)
        if pictures and _holds_text(beside.get("labels")):
            return "yolo"
        if _holds_darknet(place):
            raise DatasetError(_refusal(base, _YOLO_BESIDE))
        if pictures and _BESIDE_IMAGES & set(beside):
            raise DatasetError(
                _refusal(base, "a folder with images/ next to their annotations, which are not classes")
            )
    return None


def layout_beside_photographs(base: Path) -> Literal["coco", "yolo"] | None:
    """The same for a folder that has photographs in it; few names are tried, as it may hold a million."""
    if (base / "_annotations.coco.json").is_file():
        return "coco"
    if (base / "data.yaml").is_file():
        return "yolo"
    if _holds_darknet(base):
        raise DatasetError(_refusal(base, _YOLO_BESIDE))
    return None


def _holds_darknet(place: Path) -> bool:
    return any((place / name).is_file() for name in _DARKNET)


def _folders(place: Path) -> dict[str, Path]:
    """Sub-folders by lower-case name; links may lead out and are ignored."""
    return {path.name.lower(): path for path in place.iterdir() if path.is_dir() and not path.is_symlink()}


def _refusal(base: Path, what: str) -> str:
    return f"{base} is {what}; this layout is not supported. " + _ADVICE.format(place=base)


def _holds_coco(place: Path) -> bool:
    annotations = place / "annotations"
    return (
        (annotations.is_dir() and any(annotations.glob("*.json")))
        or any(place.glob("*coco*.json"))
        or any(place.glob("instances_*.json"))
    )


def _holds_text(labels: Path | None) -> bool:
    return labels is not None and any(path.suffix == ".txt" for path in islice(labels.rglob("*"), 1000))

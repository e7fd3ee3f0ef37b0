"""COCO and YOLO datasets, recognised so that their folders are not read as classes. They are not supported yet."""

from itertools import islice
from pathlib import Path

from gfi.datasets.class_folders import is_split
from gfi.datasets.errors import DatasetError

_IMAGES = {"images", "image", "imgs", "img"}
_LABELS = {"labels", "label"}
_BESIDE_IMAGES = {*_LABELS, "annotations", "annotation", "anns", "ann", "masks", "mask"}
_DARKNET = ("obj.data", "obj.names", "_darknet.labels")
_COCO = "a COCO dataset, whose labels and boxes are in JSON files"
_YOLO_BESIDE = "a YOLO dataset, whose labels and boxes are in .txt files next to the photographs"
_ADVICE = (
    "`folder:{place}` reads its photographs without labels; a manifest file with the columns key, label and boxes "
    "reads labels and boxes too"
)


def refuse_detection_layout(base: Path) -> None:
    """Raises DatasetError if a folder is a COCO or YOLO dataset, or has annotations next to a folder `images`."""
    folders = _folders(base)
    places = [base, *(path for path in folders.values() if is_split(path.name))]
    if any(_holds_coco(place) for place in places):
        raise DatasetError(_refusal(base, _COCO))
    for place in places:
        beside = _folders(place)
        pictures = _IMAGES & set(beside)
        if pictures and any(_holds_text(beside.get(name)) for name in _LABELS):
            raise DatasetError(_refusal(base, "a YOLO dataset, whose labels and boxes are in labels/*.txt"))
        if _holds_darknet(place):
            raise DatasetError(_refusal(base, _YOLO_BESIDE))
        if pictures and _BESIDE_IMAGES & set(beside):
            raise DatasetError(
                _refusal(base, "a folder with images/ next to their annotations, which are not classes")
            )


def refuse_beside_photographs(base: Path) -> None:
    """The same for a folder that has photographs in it; few names are tried, as it may hold a million."""
    if (base / "_annotations.coco.json").is_file():
        raise DatasetError(_refusal(base, _COCO))
    if _holds_darknet(base):
        raise DatasetError(_refusal(base, _YOLO_BESIDE))


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

"""Annotations as PASCAL VOC and ImageNet keep them: one XML file an image."""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError

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
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException:
        raise DatasetError("an annotation with a DTD is refused") from None
    except (ParseError, ValueError) as error:
        raise DatasetError(f"not XML: {error}") from error
    return root


def _number(element: Element, path: str) -> float:
    text = (element.findtext(path) or "").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"<{path.replace('/', '><')}> is {text[:40]!r}, not a number")
    return number

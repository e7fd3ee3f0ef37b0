"""Annotations in the format of PASCAL VOC and ImageNet: one XML file per image.

Variants found in practice are accepted: with namespaces, in any encoding that the file declares, with a bare `&`, with
polygons in place of boxes, with LabelMe's names for the size and for objects that were deleted. A file with a DTD is
refused, and so are entity bombs and external references.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from gfi.datasets.annotations.boxes import Box, ImageBoxes, RawBox, around, decide, fractional
from gfi.datasets.errors import DatasetError

BARE_AMPERSAND = "an annotation with a bare & is read as if it were written &amp;"

_ANNOTATION_BYTES = 4 * 2**20
_DECLARATION = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.:-]*)["'][^>]*\?>""")
_BARE = re.compile(r"(<!\[CDATA\[.*?\]\]>)|&(?!(?:amp|lt|gt|quot|apos|#\d+|#[xX][0-9a-fA-F]+);)", re.DOTALL)
_MARKS = (
    *(
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ),
    *((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")),
)
"""How files in encodings of two and four bytes begin."""
_SIZES = (("size/width", "size/height"), ("imagesize/ncols", "imagesize/nrows"))
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932"}
"""Files that declare these encodings use the characters of the wider one."""


@dataclass(frozen=True)
class Annotation:
    """The content of one XML file: size (H, W) or None, and the objects in file order."""

    size: tuple[int, int] | None
    boxes: tuple[Box, ...]
    repairs: tuple[str, ...] = ()


def read_image_boxes(path: Path, one_based: bool) -> ImageBoxes:
    """The boxes in one annotation file; if it cannot be read, `error` says why."""
    try:
        annotation = read_xml(path, one_based)
    except DatasetError as error:
        return ImageBoxes(error=str(error))
    return ImageBoxes(annotation.boxes, annotation.repairs)


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
    """As `read_xml`, from bytes."""
    root, repairs = _tree(data)
    objects = [element for element in root.iter("object") if not _deleted(element)]
    if not objects and root.tag.lower() != "annotation":
        raise DatasetError(f"it holds <{root.tag[:40]}> and no <annotation>")
    size = _size(root)
    raw = [_object(element) for element in objects]
    sides = [side for box in raw for side in (box.left, box.top, box.right, box.bottom)]
    # Pixels are counted with both ends inside, in VOC from one and in ImageNet from zero.
    known = fractional(sides) or any(box.unit for box in raw)
    decided = decide(raw, None if known else "pixel", (1, 0) if one_based else (0, 1))
    boxes = tuple(replace(box, frame=size) if box.unit == "pixel" else box for box in decided.boxes)
    return Annotation(size, boxes, (*repairs, *decided.repairs))


def _size(root: Element) -> tuple[int, int] | None:
    """(H, W) of the picture; None where the file does not say: a few of ImageNet say 0×0."""
    for across, down in _SIZES:
        if root.findtext(across) or root.findtext(down):
            width, height = _number(root, across), _number(root, down)
            return None if width < 1 or height < 1 else (round(height), round(width))
    return None


def _deleted(element: Element) -> bool:
    """LabelMe keeps what was deleted."""
    return (element.findtext("deleted") or "").strip() == "1"


def _object(element: Element) -> RawBox:
    label = (element.findtext("name") or "").strip() or None
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    polygon = element.find("polygon")
    if element.find("bndbox") is None and polygon is not None:
        return around(_corners(polygon), label, difficult)
    sides = [f"bndbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax")]
    percent = all((element.findtext(side) or "").strip().endswith("%") for side in sides)
    left, top, right, bottom = (_number(element, side, "%" if percent else "") for side in sides)
    return RawBox(label, left, top, right, bottom, difficult, "percent" if percent else None)


def _corners(polygon: Element) -> list[tuple[float, float]]:
    """<pt><x/><y/></pt> … as LabelMe writes them, or <x1/><y1/><x2/><y2/> …"""
    points = list(polygon.iter("pt"))
    if points:
        return [(_number(point, "x"), _number(point, "y")) for point in points]
    count = sum(1 for child in polygon if re.fullmatch(r"x\d+", child.tag))
    return [(_number(polygon, f"x{n}"), _number(polygon, f"y{n}")) for n in range(1, count + 1)]


def _tree(data: bytes) -> tuple[Element, tuple[str, ...]]:
    """The root without namespaces, and what was repaired."""
    text = _text(data)
    try:
        try:
            root: Element = fromstring(text, forbid_dtd=True)
            repairs: tuple[str, ...] = ()
        except ParseError:
            escaped = _BARE.sub(lambda found: found[1] or "&amp;", text)
            if escaped == text:
                raise
            root, repairs = fromstring(escaped, forbid_dtd=True), (BARE_AMPERSAND,)
    except DefusedXmlException:
        raise DatasetError("an annotation with a DTD is refused") from None
    except (ParseError, ValueError) as error:
        raise DatasetError(f"not XML: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root, repairs


def _text(data: bytes) -> str:
    """Decoded by Python, which knows more encodings than the parser."""
    declared = _DECLARATION.match(data.removeprefix(b"\xef\xbb\xbf"))
    encoding = declared[1].decode().lower() if declared else "utf-8"
    encoding = next((wide for mark, wide in _MARKS if data.startswith(mark)), encoding)
    try:
        text = data.decode(_WIDER.get(encoding, encoding)).removeprefix("\ufeff")
    except LookupError:
        raise DatasetError(f"it is written in {encoding[:40]!r}, which is not a known encoding") from None
    except UnicodeError:
        raise DatasetError(f"not XML: it is not written in {encoding}, as it says") from None
    # The parser reads text as UTF-8, whatever its declaration says.
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1)


def _number(element: Element, path: str, sign: str = "") -> float:
    text = (element.findtext(path) or "").strip().removesuffix(sign)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"<{path.replace('/', '><')}> is {text[:40]!r}, not a number")
    return number

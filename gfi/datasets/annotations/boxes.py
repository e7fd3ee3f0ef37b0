"""Boxes: annotated positions of objects in an image.

A `Box` holds the values of its file and their unit. In pixels it is half-open, in the original
*after* EXIF orientation: the upright picture, as `decode` returns it. It covers columns
left … right−1 and rows top … bottom−1, so its area is (right−left)·(bottom−top) and the whole picture is
(0, 0, W, H).

File formats count pixels differently, and are converted when they are read:

- PASCAL VOC: one-based, both ends inside.  left = xmin−1, right = xmax.
- ImageNet (XML and LOC_*_solution.csv): zero-based (zeros occur), both ends inside.  left = xmin,
  right = xmax+1.
- our own manifests: as above, [left, top, right, bottom].

What depends on the file alone is decided here (corners in the wrong order, 0..1, polygons). Whether the boxes fit the
photograph is decided in `settle_boxes`, when its size is known.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gfi.datasets.annotations.regions import bitmap, moved, polygons_text, run_lengths_text, settled
from gfi.datasets.errors import DatasetError
from gfi.datasets.strict_json import read_json

Unit = Literal["pixel", "fraction", "percent"]
UNITS: tuple[Unit, ...] = ("pixel", "fraction", "percent")
SIDES = ("left", "top", "right", "bottom")

SWAPPED = "a box with its corners in the wrong order is read with them in order"
FRACTIONS = "boxes in 0..1 are read as fractions of the photograph"

_ROUNDING = 0.02
"""How far a fraction may lie outside 0..1."""


def check_text(what: str, text: str | None, limit: int = 512) -> None:
    """DatasetError unless Parquet and PostgreSQL can store and index `text`: UTF-8, no NUL, `limit` bytes."""
    try:
        if text is not None and ("\0" in text or len(text.encode()) > limit):
            raise DatasetError(f"{what} {text[:60]!r}… holds a NUL or is longer than {limit:,} bytes")
    except UnicodeEncodeError:
        raise DatasetError(f"{what} {text!r} is not Unicode; rename it") from None


@dataclass(frozen=True)
class Box:
    """One object. label: None for the image's own label. unit: the unit of the four sides.

    frame: (H, W) of the picture to which the sides refer, if the file says so; only with unit pixel. outline: the
    region of the object, inside the box, where the file has one (`gfi.datasets.annotations.regions`).
    """

    label: str | None
    left: float
    top: float
    right: float
    bottom: float
    difficult: bool = False
    unit: Unit = "pixel"
    frame: tuple[int, int] | None = None
    outline: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_text("a box's label", self.label)
        # Written so that NaN fails too.
        if not (-1e9 < self.left < self.right < 1e9 and -1e9 < self.top < self.bottom < 1e9):
            raise DatasetError(f"the box {self.shown()} has no area")

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    def shown(self) -> str:
        """The sides as text for messages."""
        return "[" + ", ".join(f"{side:g}" for side in self.sides) + "]"

    def to_json(self) -> dict[str, Any]:
        """The sides by name, and the other fields unless they are empty."""
        value: dict[str, Any] = dict(zip(SIDES, self.sides, strict=True))
        if self.label:
            value["label"] = self.label
        if self.difficult:
            value["difficult"] = True
        if self.unit != "pixel":
            value["unit"] = self.unit
        if self.frame is not None:
            value["frame"] = list(self.frame)
        if self.outline is not None:
            value["outline"] = self.outline
        return value


@dataclass(frozen=True)
class ImageBoxes:
    """The boxes of one image, as read from a file. repairs: sentences that say what was repaired. error: why the boxes
    cannot be used; `boxes` is then empty."""

    boxes: tuple[Box, ...] = ()
    repairs: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class RawBox:
    """A box as it is written: sides may be in any order. bare: written as four numbers without names."""

    label: str | None
    left: float
    top: float
    right: float
    bottom: float
    difficult: bool = False
    unit: Unit | None = None
    bare: bool = False
    outline: str | None = None


def decide(
    raw: Sequence[RawBox], unit: Unit | None = None, inclusive: tuple[int, int] = (0, 0)
) -> ImageBoxes:
    """The boxes of one image, before its size is known. unit: as given by the user; None infers it from the boxes.

    inclusive: for formats in which both end pixels are inside, the numbers that are subtracted from left and top and
    added to right and bottom. DatasetError: the boxes are invalid or ambiguous.
    """
    repairs: dict[str, None] = {}
    ordered = []
    for item in raw:
        box = _in_order(item)
        if (box.left, box.top) != (item.left, item.top):
            repairs[SWAPPED] = None
        ordered.append(box)
    stated = {unit or item.unit for item in ordered}
    if len(stated) > 1:
        raise DatasetError("some boxes are in percent and others are not")
    known = stated.pop() if stated else None
    if known is None:
        known = _unit_of(ordered)
        if known == "fraction":
            repairs[FRACTIONS] = None
    before, after = inclusive if known == "pixel" else (0, 0)
    boxes = tuple(
        Box(
            *(item.label, item.left - before, item.top - before, item.right + after, item.bottom + after),
            item.difficult,
            known,
            outline=moved(item.outline, 0.5 - before) if item.outline and (before or after) else item.outline,
        )
        for item in ordered
    )
    return ImageBoxes(boxes, tuple(repairs))


def in_frame(read: ImageBoxes, frame: tuple[int, int] | None) -> ImageBoxes:
    """Boxes in pixels of a picture of `frame` (H, W), as two columns beside them say it.

    The columns may also be the size of the box itself: a box that does not lie inside `frame`, or is all of it, is left
    as it is.
    """
    if frame is None:
        return read
    whole = (0.0, 0.0, float(frame[1]), float(frame[0]))
    for box in read.boxes:
        inside = min(box.left, box.top) >= -1 and box.right <= frame[1] + 1 and box.bottom <= frame[0] + 1
        if box.unit != "pixel" or not inside or box.sides == whole:
            return read
    return replace(read, boxes=tuple(replace(box, frame=frame) for box in read.boxes))


def _sides(item: RawBox) -> tuple[float, float, float, float]:
    return item.left, item.top, item.right, item.bottom


def _in_order(item: RawBox) -> RawBox:
    """left ≤ right and top ≤ bottom. Four bare numbers that are not in order may also be width and height."""
    left, right = sorted((item.left, item.right))
    top, bottom = sorted((item.top, item.bottom))
    ordered = replace(item, left=left, top=top, right=right, bottom=bottom)
    if ordered != item and item.bare:
        numbers = ", ".join(f"{side:g}" for side in _sides(item))
        raise DatasetError(
            f"[{numbers}] is not [left, top, right, bottom]; for [left, top, width, height] say `?four=xywh`"
        )
    return ordered


def fractional(sides: Sequence[float]) -> bool:
    """Whether these coordinates, all those of one image, can only be fractions of its sides."""
    inside = all(-_ROUNDING <= side <= 1 + _ROUNDING for side in sides)
    return bool(sides) and inside and any(side != int(side) for side in sides)


def _unit_of(boxes: Sequence[RawBox]) -> Unit:
    sides = [side for box in boxes for side in _sides(box)]
    if not all(map(math.isfinite, sides)):
        raise DatasetError("a side of a box is not a number")
    if fractional(sides):
        return "fraction"
    if any(_sides(box) == (0, 0, 1, 1) for box in boxes) and max(sides) <= 1:
        raise DatasetError(
            "the box [0, 0, 1, 1] may be one pixel or, in 0..1, the whole photograph; say `?unit=pixel` or "
            "`?unit=fraction`"
        )
    return "pixel"


def read_boxes(
    value: Any, unit: Unit | None = None, four: Literal["ltrb", "xywh"] | None = "ltrb"
) -> ImageBoxes:
    """Boxes of one image from JSON: a list of boxes, or one box.

    unit: of all sides; None infers it from the boxes. four: the meaning of four numbers without names: [left, top,
    right, bottom] or [left, top, width, height]; None if it is not known.

    A box is [left, top, right, bottom], an object with these four and `label`, `difficult` and `unit`, or a
    polygon: a list of points [[x, y], …], six or more numbers x, y, x, y …, or an object with `polygon` or
    `points`. DatasetError: it is none of these, or ambiguous.
    """
    if value is None:
        return ImageBoxes()
    if isinstance(value, Mapping) or (_is_list(value) and value and not _holds_boxes(value)):
        value = [value]
    if not _is_list(value):
        raise DatasetError("boxes are not a list")
    raw = [_raw(item) for item in value]
    if any(item.bare for item in raw):
        if four is None:
            raise DatasetError(
                "four numbers may be [left, top, right, bottom] or [left, top, width, height]; say `?four=ltrb` or "
                "`?four=xywh`"
            )
        if four == "xywh":
            raw = [_from_size(item) if item.bare else item for item in raw]
    return decide(raw, unit)


def _from_size(item: RawBox) -> RawBox:
    """Four numbers that are left, top, width and height."""
    return replace(item, right=item.left + item.right, bottom=item.top + item.bottom)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _all_lists(value: Sequence[Any]) -> bool:
    return bool(value) and all(map(_is_list, value))


def _holds_boxes(values: Sequence[Any]) -> bool:
    """Whether a list is a list of boxes, and not one box or the points of a polygon."""
    return all(isinstance(item, Mapping) or (_is_list(item) and not _is_point(item)) for item in values)


def _is_point(value: Sequence[Any]) -> bool:
    return len(value) == 2 and not any(map(_is_list, value))


def _raw(value: Any) -> RawBox:
    label, difficult, unit, bare = None, False, None, True
    if isinstance(value, Mapping):
        known = {*SIDES, "label", "difficult", "unit", "polygon", "points"}
        unknown = sorted(str(name) for name in value if name not in known)
        if unknown:
            raise DatasetError(
                f"a box has no {unknown[0]!r}; it has {', '.join(SIDES)}, label, difficult, unit"
            )
        label, difficult, bare = value.get("label"), _truth(value.get("difficult")), False
        unit = value.get("unit")
        if unit is not None and unit not in UNITS:
            raise DatasetError(f"the unit of a box is {', '.join(UNITS)}, not {str(unit)[:40]!r}")
        points = value.get("polygon", value.get("points"))
        value = points if points is not None else [value.get(side) for side in SIDES]
    label = None if label is None else str(label).strip() or None
    if not _is_list(value) or (
        len(value) != 4 and (len(value) < 6 or len(value) % 2) and not _all_lists(value)
    ):
        raise DatasetError("a box is [left, top, right, bottom] or an object with these four numbers")
    if len(value) == 4 and not any(map(_is_list, value)):
        (left, top, right, bottom), written = _numbers(value, "sides of a box")
        return RawBox(label, left, top, right, bottom, difficult, written or unit, bare)
    points, written = _points(value)
    return around(points, label, difficult, written or unit)


def around(
    points: Sequence[tuple[float, float]],
    label: str | None,
    difficult: bool = False,
    unit: Unit | None = None,
) -> RawBox:
    """A polygon and the box around its corners."""
    if len(points) < 3:
        raise DatasetError("a polygon has at least three points")
    xs, ys = zip(*points, strict=True)
    outline = polygons_text([points])
    return RawBox(label, min(xs), min(ys), max(xs), max(ys), difficult, unit, outline=outline)


def read_region(
    value: Any, mask: Callable[[str], tuple[str, str | None]], unit: Unit | None = None
) -> RawBox | None:
    """The region of an image, from a cell of a manifest, with the box around it; None for an empty one.

    value: a polygon, as in `read_boxes`, or COCO's run lengths, also as JSON text; otherwise the key of a mask image.
    mask: the key of a mask image as it is read, and its version. unit: of a polygon; None infers it from the points.
    DatasetError: it is none of these.
    """
    if isinstance(value, str) and (value := value.strip()):
        if value[0] not in "[{":
            key, version = mask(value)
            outline = json.dumps({"mask": key, "version": version})
            return RawBox(None, 0, 0, 1, 1, unit="fraction", outline=outline)
        try:
            value = read_json(value)
        except ValueError as error:
            raise DatasetError(f"the region is not JSON: {error}") from None
    if not value:
        return None
    if isinstance(value, Mapping):
        return _as_fractions(from_run_lengths(value, None))
    if not _is_list(value):
        raise DatasetError("a region is a polygon, run lengths or the key of a mask image")
    points, written = _points(value)
    return around(points, None, unit=written or unit)


def _as_fractions(item: RawBox) -> RawBox:
    """Run lengths say the size of their picture, which need not be that of the boxes beside them."""
    assert item.outline is not None
    height, width = json.loads(item.outline)["size"]
    left, top, right, bottom = _sides(item)
    return replace(
        item,
        left=left / width,
        top=top / height,
        right=right / width,
        bottom=bottom / height,
        unit="fraction",
    )


def with_region(read: ImageBoxes, region: RawBox, frame: tuple[int, int] | None = None) -> ImageBoxes:
    """The boxes of an image, and its region as one more.

    A region in pixels is of the same picture as boxes in pixels; without these, of one of `frame` (H, W), as in
    `in_frame`.
    """
    if read.error is not None:
        return read
    more = decide([region])
    beside = [box.frame for box in read.boxes if box.unit == "pixel"]
    if not beside:
        placed = in_frame(more, frame).boxes
    else:
        placed = tuple(replace(box, frame=beside[0]) if box.unit == "pixel" else box for box in more.boxes)
    return ImageBoxes((*read.boxes, *placed), (*read.repairs, *more.repairs))


def from_run_lengths(value: Mapping[str, Any], label: str | None, difficult: bool = False) -> RawBox:
    """COCO's run lengths as a region with the box around it. DatasetError if they are none, or mark no pixel."""
    outline = run_lengths_text(value)
    drawn = bitmap(outline, (0, 0))
    _, (left, top, right, bottom) = settled(drawn)
    return RawBox(label, left, top, right, bottom, difficult, "pixel", outline=outline)


def _truth(value: Any) -> bool:
    """Whether a box is difficult: by JSON's words, or by a number, of which 0 is not; also as text. DatasetError for
    another value."""
    known = {"": False, "false": False, "none": False, "true": True}
    text = "" if value is None else str(value).strip().lower()
    if text in known:
        return known[text]
    try:
        return float(text) != 0
    except ValueError:
        raise DatasetError(f"`difficult` of a box is true or false, not {str(value)[:40]!r}") from None


def _points(value: Sequence[Any]) -> tuple[list[tuple[float, float]], Unit | None]:
    """The points of a polygon, and `percent` if they are written in it."""
    if not any(map(_is_list, value)):
        value = [value[at : at + 2] for at in range(0, len(value), 2)]
    if not all(_is_list(point) and len(point) == 2 for point in value):
        raise DatasetError("a polygon is a list of points [x, y]")
    sides, unit = _numbers([side for point in value for side in point], "points of a polygon")
    return list(zip(sides[::2], sides[1::2], strict=True)), unit


def _numbers(values: Sequence[Any], what: str) -> tuple[list[float], Unit | None]:
    """Sides or coordinates, and `percent` if all are written in it; DatasetError if only some are."""
    numbers = [_number(value) for value in values]
    written = {percent for _, percent in numbers}
    if len(written) > 1:
        raise DatasetError(f"some {what} are in percent and others are not")
    return [number for number, _ in numbers], "percent" if written == {True} else None


def _number(value: Any) -> tuple[float, bool]:
    """A side, and whether it is written in percent."""
    text = value.strip() if isinstance(value, str) else ""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value if plain else text.removesuffix("%"))
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"the side {repr(value)[:40]} of a box is not a number")
    return number, text.endswith("%")

"""Finds the columns of a manifest file that hold the key, the label and the boxes.

A column is recognised by its documented name, or by a name that other tools use, if only one column has such a name.
Case, blanks, `_` and `-` are ignored: `File Path` is `filepath`. A note says when another name than the documented one
was used. The options `?key=filepath&label=class` name columns explicitly.

Columns `width` and `height` next to boxes are the size of the picture to which the boxes refer, as in tables of
TensorFlow and Roboflow, if the boxes lie inside it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gfi.datasets.annotations.boxes import SIDES
from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes

ROLES = ("key", "label", "boxes", "region", "version")
_WORDS = {
    "key": (
        *("filepath", "filename", "file", "path"),
        *("image", "imagepath", "imagefile", "imagename", "img", "imgpath", "uri"),
    ),
    "label": ("class", "classname", "labelname", "category", "target", "wnid", "synset", "labels"),
    "boxes": ("bbox", "bboxes", "box", "boundingbox", "boundingboxes"),
    "region": (),
    "version": (),
}
_SIDE_COLUMNS = (
    SIDES,
    ("xmin", "ymin", "xmax", "ymax"),
    ("minx", "miny", "maxx", "maxy"),
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
)
_BOX_PREFIX = re.compile(r"(?:boundingbox|bbox|box)(?=.)")
_FRAMES = (("height", "width"), ("imageheight", "imagewidth"), ("imgheight", "imgwidth"))
"""Names of the two columns that say how large the picture of the boxes is."""
_SIZE_COLUMNS = tuple(
    (*place, *size)
    for place in (("x", "y"), ("left", "top"), ("xmin", "ymin"), ("cx", "cy"), ("xcenter", "ycenter"))
    for size in (("w", "h"), ("width", "height"))
)


@dataclass(frozen=True)
class Columns:
    """The column name of each role, as written in the file; None if the file has no such column.

    sides: four columns that are one box, in place of boxes. unsure: the boxes are in a column whose name other tools
    also use for a position and a size.
    """

    key: str
    label: str | None = None
    boxes: str | None = None
    version: str | None = None
    sides: tuple[str, ...] = ()
    unsure: bool = False
    region: str | None = None

    def split(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A row as {role: value} and the other columns."""
        rest = dict(row)
        values = {role: rest.pop(name) for role in ROLES if (name := getattr(self, role)) in rest}
        if self.sides and any(name in rest for name in self.sides):
            values["sides"] = [rest.pop(name, None) for name in self.sides]
        return values, rest


def find_columns(
    names: Sequence[str], requested: Mapping[str, str], notes: ListingNotes, place: str
) -> Columns:
    """The columns of a file with these `names`. requested: role → name, as given by the user.

    DatasetError: there is no key column, or several candidates, or a requested column does not exist.
    """
    chosen: dict[str, str | None] = {}
    for role in ROLES:
        chosen[role] = _column(role, names, requested.get(role), notes, place)
    key = chosen.pop("key")
    if key is None:
        raise DatasetError(
            f"{place} has no column `key`; its columns are {_some(names)}; say `?key=` and its name"
        )
    sides: tuple[str, ...] = ()
    if chosen["boxes"] is None:
        sides = _sides(names)
        if sides:
            notes.say(
                f"the columns {', '.join(sides)} are read as a box in pixels, right and lower end not inside"
            )
        elif sizes := _position_and_size(names):
            notes.say(
                f"the columns {', '.join(sizes)} may be the position and size of a box and are not read as one; "
                "left, top, right, bottom are, or a column `boxes`"
            )
    unsure = chosen["boxes"] is not None and "boxes" not in requested and _plain(chosen["boxes"]) != "boxes"
    return Columns(key, **chosen, sides=sides, unsure=unsure)


def find_alike(names: Sequence[str], role: str, notes: ListingNotes, place: str) -> str:
    """The name in a record that has this role, by the same rules; `role` itself where there is none."""
    return role if role in names else _column(role, names, None, notes, place) or role


def _column(
    role: str, names: Sequence[str], requested: str | None, notes: ListingNotes, place: str
) -> str | None:
    wanted = role if requested is None else requested
    if wanted in names:
        return wanted
    alike = [name for name in names if _plain(name) == _plain(wanted)]
    if requested is not None and not alike:
        raise DatasetError(
            f"{place} has no column {requested!r} for the {role}; its columns are {_some(names)}"
        )
    candidates = alike or [name for name in names if _plain(name) in _WORDS[role]]
    if len(candidates) > 1:
        advice = f"several columns of {place} may be the {role}: {_some(candidates)}; say `?{role}=` and one of them"
        if role == "key" or requested is not None:
            raise DatasetError(advice)
        notes.say(advice)
        return None
    if candidates and requested is None:
        notes.say(f"the column {candidates[0]!r} is read as `{role}`")
    return candidates[0] if candidates else None


def _sides(names: Sequence[str]) -> tuple[str, ...]:
    plain = _without_prefix(names)
    complete = [sides for sides in _SIDE_COLUMNS if all(side in plain for side in sides)]
    return tuple(plain[side] for side in complete[0]) if len(complete) == 1 else ()


def _without_prefix(names: Sequence[str]) -> dict[str, str]:
    """Names by how they are compared, `bbox_x1` as x1."""
    return {_BOX_PREFIX.sub("", _plain(name)): name for name in names}


def frame_of(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """(H, W) of the picture by the columns of one row; None where they do not say."""
    if not row:
        return None
    plain = {_plain(str(name)): value for name, value in row.items()}
    for down, across in _FRAMES:
        sides = [_pixels(plain.get(name)) for name in (down, across)]
        if sides[0] and sides[1]:
            return sides[0], sides[1]
    return None


def _pixels(value: Any) -> int:
    """A side of a picture; 0 where it is none."""
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
        return int(number) if number.is_integer() and 0 < number < 10**9 else 0
    except (ValueError, OverflowError):
        return 0


def _position_and_size(names: Sequence[str]) -> tuple[str, ...]:
    """Four columns in which other tools store a corner, or a centre, and a size."""
    plain = _without_prefix(names)
    for kind in _SIZE_COLUMNS:
        if all(name in plain for name in kind):
            return tuple(plain[name] for name in kind)
    return ()


def _plain(name: str) -> str:
    """A name as names are compared."""
    return re.sub(r"[\s_-]+", "", name.lstrip("\ufeff")).casefold()


def names_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The names that occur in some rows, without repetition, in their order."""
    yield from dict.fromkeys(name for row in rows for name in row)


def _some(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:12]) or "none"

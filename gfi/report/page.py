"""The report of a job: `index.html` and a folder of pictures, which open from disk without a server.

`index.html` holds the whole page. Its style and script are inline and listed by SHA-256 in the content security policy,
so no other script can run and no data can leave the machine, whatever a file name contains. Pictures are written one
image at a time and the page is streamed, so a report of 5,000 images needs the memory of one. For each image:

    images/00007-thumb.jpg   the photograph, longer side ≤ 360 px, for the list
    images/00007-photo.jpg   the photograph, longer side ≤ 960 px, for the large view
    images/audit-….jpg       pictures of an audit's findings, on the first page
    images/00007-mask.png    the mask on the photograph, 8-bit grey, transparent outside what the network saw

The browser colours the mask (an SVG filter with the 256 entries of each colour map), so one grey file serves every
colour map and every opacity. Files are named by numbers, never by keys.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from gfi.domain.geometry import Rectangle, fitted, place, scaled, seen, whole
from gfi.domain.methods import CONTROLS
from gfi.domain.result import Result
from gfi.report.colours import COLOUR_MAPS, lookup_table
from gfi.report.first_page import FirstPage
from gfi.report.first_page import written as written_first_page
from gfi.report.measures import Numbers, measures_of
from gfi.report.overlays import grey, jpeg, png, shrink
from gfi.report.summary import Summary, column_title, finite_values, status_meaning, status_title

THUMB, PHOTO = 360, 960

_TEMPLATES = Path(__file__).parent / "templates"
_FILE = re.compile(r"((\d{5,})-(thumb|photo|mask)|audit-[0-9a-f-]+-([1-9]|crop))\.(jpg|png)")


@dataclass(frozen=True)
class Card:
    """One image of the report.

    target_name, prediction_name: of the result's classes, where they are known.
    photo: (H, W, 3) or (H, W) uint8 after EXIF orientation, or None when it cannot be read.
    mask: (h, w) float in [0, 1] at the network's input size, or None when there is none.
    box: (left, top, right, bottom), in pixels of `photo`, that the network saw; None: all of it.
    """

    result: Result
    photo: NDArray[np.uint8] | None = None
    mask: NDArray[np.floating] | None = None
    box: Rectangle | None = None
    target_name: str | None = None
    prediction_name: str | None = None


def write_page(
    directory: Path,
    title: str,
    metadata: Mapping[str, str],
    summary: Summary,
    cards: Iterable[Card],
    listed: int | None = None,
    first: FirstPage | None = None,
    numbers: Numbers | None = None,
    ends: Sequence[tuple[str, Sequence[Card]]] = (),
) -> Path:
    """Write `index.html` and `images/` into `directory`, which is made if missing; returns the page's path.

    metadata: the provenance of the masks (model, preset, layers, job …), shown in the given order. cards: read once.
    listed: the number of images in the dataset, if not all of them have a result. A report that is already in
    `directory` is replaced when the new page is complete. first: the first page, which stands before the images.
    numbers: by default those of the summary. ends: titles and the best and the worst images, shown before the others.
    """
    images = directory / "images"
    images.mkdir(parents=True, exist_ok=True)
    page, unfinished = directory / "index.html", directory / "index.html.part.tmp"
    written: set[str] = set()
    counted = [0]
    shown = [
        (_text(text), list(_views(of_end, images, written, counted, large=False))) for text, of_end in ends
    ]
    template = _environment().get_template("index.html")
    stream = template.stream(
        title=_text(title),
        metadata=[(_text(k), _text(v)) for k, v in metadata.items()],
        summary=summary,
        listed=max(summary.total, listed or 0),
        statuses=[(s, status_title(s), status_meaning(s), n) for s, n in summary.counts.items()],
        controls=CONTROLS,
        sorts=[(m.name, m.title) for m in summary.means],
        first=None if first is None else written_first_page(first, images, written),
        cards=_views(cards, images, written, counted),
        numbers=numbers or Numbers(measures_of(summary, {})),
        ends=shown,
        **_fixed(),
    )
    stream.enable_buffering(64)
    with unfinished.open("w", encoding="utf-8") as out:
        out.writelines(stream)
    unfinished.replace(page)
    for old in images.iterdir():  # pictures of an earlier report with more images
        if _FILE.fullmatch(old.name) and old.name not in written:
            old.unlink()
    return page


def _views(
    cards: Iterable[Card], images: Path, written: set[str], counted: list[int], large: bool = True
) -> Iterator[dict[str, Any]]:
    """The template's data for each card; writes the card's pictures and adds their names to `written`.

    counted: how many cards have pictures so far; their files are named by it. large: write the large photograph too.
    """
    for card in cards:
        index = counted[0]
        counted[0] += 1
        files = _pictures(index, card, large)
        for name, data in files.items():
            (images / name).write_bytes(data)
        written.update(files)
        result = card.result
        status = str(result.status)
        values = finite_values(result)
        prefix = f"images/{index:05}"
        photo, mask = card.photo is not None, f"{index:05}-mask.png" in files
        key = _text(result.key)
        folder, slash, file = key.rpartition("/")
        yield {
            "row": result.row,
            "key": key,
            "folder": folder + slash,
            "file": file,
            "status": status,
            "status_title": status_title(status),
            "status_meaning": status_meaning(status),
            "error": _text(result.error) if result.error else "",
            "notes": [
                *([f"Of its values {result.window}."] if result.window else []),
                *(_text(repair) for repair in result.repairs if repair not in (result.error or "")),
            ],
            "target": _class(card.target_name, result.target),
            "prediction": _class(card.prediction_name, result.prediction),
            "label": _text(result.label) if result.label is not None else "",
            "agrees": result.target is not None and result.target == result.prediction,
            "bars": [
                (name, heading, _percent(values[name]), f"{100 * min(max(values[name], 0), 1):.1f}%")
                for name, heading in (("probability", "Whole"), ("kept", "Kept"), ("removed", "Removed"))
                if name in values
            ],
            "measures": [
                (column_title(name), _decimal(name, value))
                for name, value in values.items()
                if name not in ("probability", "kept", "removed")
            ],
            "values": values,
            "thumb": f"{prefix}-thumb.jpg" if photo else "",
            "photo": f"{prefix}-photo.jpg" if photo else "",
            "mask": f"{prefix}-mask.png" if mask else "",
            "size": _size(card),
        }


def _pictures(index: int, card: Card, large: bool) -> dict[str, bytes]:
    """The picture files of one card by name, without those of a missing photograph or mask."""
    files: dict[str, bytes] = {}
    photo = card.photo
    view = None if photo is None else shrink(photo, PHOTO)
    if view is not None:
        if large:
            files[f"{index:05}-photo.jpg"] = jpeg(view)
        files[f"{index:05}-thumb.jpg"] = jpeg(shrink(view, THUMB))
    if card.mask is not None:
        # The thumbnail's size is enough: a mask is smooth, and the browser enlarges it bilinearly.
        height, width = (card.mask if view is None else view).shape[:2]
        size = fitted((height, width), THUMB)
        box = whole(size)
        if card.box is not None and photo is not None:
            box = scaled(card.box, (photo.shape[0], photo.shape[1]), size)
        layers = (grey(place(card.mask, size, box)), np.where(seen(size, box), np.uint8(255), np.uint8(0)))
        files[f"{index:05}-mask.png"] = png(np.stack(layers, axis=-1))
    return files


def _size(card: Card) -> tuple[int, int]:
    """(width, height) of the picture, so that the browser reserves space before the picture is loaded."""
    if card.photo is not None:
        return card.photo.shape[1], card.photo.shape[0]
    return (card.mask.shape[1], card.mask.shape[0]) if card.mask is not None else (1, 1)


def _class(name: str | None, index: int | None) -> str:
    """A class as "tabby cat · 281"; either part may be missing."""
    parts = [_text(name)] if name not in (None, "") else []
    if index is not None:
        parts.append(str(index) if parts else f"class {index}")
    return " · ".join(parts)


def _percent(value: float) -> str:
    """A probability in per cent with one decimal, rounded to 0 or 100 only when it is exactly that."""
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def _decimal(name: str, value: float) -> str:
    """The text of a number on the page: hit or miss, a whole number of iterations, or three decimals."""
    if name.startswith("pointing"):
        return {0.0: "miss", 1.0: "hit"}.get(value, f"{value:.3f}")
    return f"{value:.0f}" if name == "iterations" else f"{value:.3f}"


def _number(value: float) -> str:
    """A mean with three decimals, a large one with one."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def _text(value: Any) -> str:
    """`value` as text that UTF-8 can encode: a file name may contain undecodable bytes (lone surrogates)."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["share"] = lambda n, total: f"{100 * n / total:.3f}" if total else "0"
    environment.filters["thousands"] = lambda n: f"{n:,}"
    return environment


def _fixed() -> dict[str, Any]:
    """The data of every page: style, script, their hashes for the policy, and the colour maps as filter tables."""
    css = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    return {
        "css": Markup(css),  # noqa: S704 - our own files, hashed below
        "script": Markup(script),  # noqa: S704
        "css_hash": _sha256(css),
        "script_hash": _sha256(script),
        "maps": [(name, [_channel(name, c) for c in range(3)]) for name in COLOUR_MAPS],
    }


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _channel(name: str, channel: int) -> str:
    """One channel of a colour map as tableValues of an SVG filter: 256 entries, so grey k/255 gives exactly entry k."""
    return " ".join(f"{v / 255:.4f}".rstrip("0").rstrip(".") for v in lookup_table(name)[:, channel].tolist())

"""A contact sheet: a row for each photograph, a column for each method, in one PNG.

A cell holds a picture, such as `overlay()` returns, fitted into a square, and may have a short note under it (a score,
a status).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gfi.domain.geometry import fitted
from gfi.report.overlays import Picture, png

Theme = Literal["light", "dark"]

_COLOURS = {
    "light": {"ground": "#ffffff", "well": "#ececea", "ink": "#1a1d1f", "soft": "#575e63"},
    "dark": {"ground": "#131516", "well": "#1b1e20", "ink": "#e9e9e4", "soft": "#a0a7ab"},
}


@dataclass(frozen=True)
class Cell:
    """picture: (H, W, 3) or (H, W) uint8, or None for an empty cell; note: one short line under it."""

    picture: NDArray[np.uint8] | None
    note: str = ""


def contact_sheet(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    title: str = "",
    cell: int = 192,
    theme: Theme = "light",
) -> Picture:
    """The sheet as (H, W, 3) uint8.

    columns: a heading for each column; rows: pairs of a label and the row's cells; cell: the side of a cell in pixels.
    Raises ValueError when a row does not have one cell for each column.
    """
    for label, cells in rows:
        if len(cells) != len(columns):
            raise ValueError(f"row {label!r} has {len(cells)} cells for {len(columns)} columns")
    colours = _COLOURS[theme]
    gap, line = max(4, cell // 24), max(12, cell // 12)
    small, large = ImageFont.load_default(line), ImageFont.load_default(line * 1.5)
    notes = any(c.note for _, cells in rows for c in cells)
    label_width = min(cell, max((round(small.getlength(label)) for label, _ in rows), default=0))
    left = gap * 2 + (label_width + gap * 2 if label_width else 0)
    top = gap * 2 + (round(line * 2.5) if title else 0) + line + gap * 2
    height = cell + (line + gap if notes else 0) + gap
    width = left + len(columns) * (cell + gap) + gap
    # A title wider than the sheet is cut: size and number of the cells determine the width.
    sheet = Image.new("RGB", (width, top + len(rows) * height + gap), colours["ground"])
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((gap * 2, gap * 2), _cut(title, large, width - 4 * gap), colours["ink"], large)
    for i, heading in enumerate(columns):
        corner = (left + i * (cell + gap), top - line - gap * 2)
        draw.text(corner, _cut(heading, small, cell), colours["ink"], small)
    for r, (label, cells) in enumerate(rows):
        y = top + r * height
        draw.text((gap * 2, y), _cut(label, small, label_width), colours["soft"], small)
        for i, content in enumerate(cells):
            x = left + i * (cell + gap)
            draw.rectangle((x, y, x + cell - 1, y + cell - 1), colours["well"])
            if content.picture is not None:
                image = Image.fromarray(np.ascontiguousarray(content.picture)).convert("RGB")
                high, wide = fitted((image.height, image.width), cell, enlarge=True)
                picture = image.resize((wide, high), Image.Resampling.LANCZOS, reducing_gap=3.0)
                sheet.paste(picture, (x + (cell - wide) // 2, y + (cell - high) // 2))
            if content.note:
                draw.text((x, y + cell + gap // 2), _cut(content.note, small, cell), colours["soft"], small)
    return np.asarray(sheet)


def contact_png(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    title: str = "",
    cell: int = 192,
    theme: Theme = "light",
) -> bytes:
    """`contact_sheet` as PNG bytes."""
    return png(contact_sheet(columns, rows, title, cell, theme))


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`text` on one line, cut with an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"

"""A contact sheet shows every cell, in either theme."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.report.contact_sheet import Cell, contact_png, contact_sheet


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_contact_sheet_holds_every_cell(theme):
    red, wide = np.full((40, 40, 3), (255, 0, 0), np.uint8), np.full((10, 60), 200, np.uint8)
    rows = [("first", [Cell(red, "score .5"), Cell(None)]), ("second", [Cell(wide), Cell(red)])]
    sheet = contact_sheet(["tuned", "a heading far too long for its cell"], rows, "A title", 64, theme)
    assert sheet.dtype == np.uint8
    assert (sheet == (255, 0, 0)).all(axis=2).sum() == 2 * 64 * 64
    assert Image.open(io.BytesIO(contact_png(["tuned", "other"], rows))).size[1] > 2 * 192
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        contact_sheet(["a", "b"], [("row", [Cell(red)])])
    assert contact_sheet([], []).ndim == 3

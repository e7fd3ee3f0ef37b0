"""Masks as pictures: exact colours, the right place, and files that read back."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.report.colours import MAPS, table
from gfi.report.contact_sheet import Cell, contact_png, contact_sheet
from gfi.report.overlays import colour, fit_mask, grey, jpeg, overlay, png, shrink


@pytest.mark.parametrize("name", MAPS)
def test_colour_maps_are_the_bytes_that_matplotlib_draws(name):
    matplotlib = pytest.importorskip("matplotlib")
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(table(name), expected)


def test_an_unknown_map_names_those_there_are():
    with pytest.raises(ValueError, match="'turbo' does not exist; there are viridis, magma, jet"):
        colour(np.zeros((2, 2)), "turbo")


def test_a_mask_runs_from_the_first_colour_to_the_last_and_survives_bad_values():
    mask = np.array([[0.0, 1.0], [2.0, -1.0], [np.nan, np.inf]])
    assert grey(mask).tolist() == [[0, 255], [255, 0], [0, 255]]
    drawn = colour(mask)
    assert drawn.dtype == np.uint8
    assert (drawn[0, 0] == table("viridis")[0]).all()
    assert (drawn[0, 1] == table("viridis")[255]).all()


def test_a_mask_lies_where_the_network_looked_and_nowhere_else():
    fitted = fit_mask(np.ones((4, 4), np.float32), (10, 30), (10, 0, 20, 10))
    assert fitted.shape == (10, 30)
    assert fitted.dtype == np.float32
    assert fitted[:, 10:20].min() == 1
    assert fitted[:, :10].max() == fitted[:, 20:].max() == 0


def test_an_overlay_mixes_photograph_and_colour_by_its_opacity():
    photo = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    mask = np.random.default_rng(1).random((6, 7))
    assert (overlay(photo, mask, 0) == photo).all()
    assert (overlay(photo, mask, 1, "magma") == colour(mask, "magma")).all()
    half = overlay(photo, mask, 0.5).astype(int)
    assert abs(half - (photo.astype(int) + colour(mask)) / 2).max() <= 0.5
    assert overlay(photo[..., 0], mask).shape == (6, 7, 3)
    with pytest.raises(ValueError, match="fit_mask"):
        overlay(photo, mask[:3])


@pytest.mark.parametrize(
    ("shape", "mode"), [((5, 4), "L"), ((5, 4, 2), "LA"), ((5, 4, 3), "RGB"), ((5, 4, 4), "RGBA")]
)
def test_a_png_reads_back_bit_for_bit(shape, mode):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.open(io.BytesIO(png(array)))
    assert image.mode == mode
    assert (np.asarray(image) == array).all()


def test_a_mask_becomes_an_8_bit_grey_png():
    image = Image.open(io.BytesIO(png(np.array([[0.0, 0.5, 1.0]]))))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[0, 128, 255]]
    with pytest.raises(ValueError, match="uint8"):
        png(np.zeros((2, 2), np.int64))


def test_a_photograph_shrinks_to_its_longer_side_and_never_grows():
    photo = np.zeros((30, 90, 3), np.uint8)
    assert shrink(photo, 45).shape == (15, 45, 3)
    assert shrink(photo, 90) is photo
    assert shrink(np.zeros((1, 4000), np.uint8), 100).shape == (1, 100)
    assert Image.open(io.BytesIO(jpeg(photo))).size == (90, 30)


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

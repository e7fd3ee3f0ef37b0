"""Masks as pictures: exact colours, the right place, and files that read back."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.report.colours import lookup_table
from gfi.report.overlays import colour, grey, jpeg, overlay, png, shrink


def test_a_mask_runs_from_the_first_colour_to_the_last_and_survives_bad_values():
    mask = np.array([[0.0, 1.0], [2.0, -1.0], [np.nan, np.inf]])
    assert grey(mask).tolist() == [[0, 255], [255, 0], [0, 255]]
    drawn = colour(mask)
    assert drawn.dtype == np.uint8
    assert (drawn[0, 0] == lookup_table("viridis")[0]).all()
    assert (drawn[0, 1] == lookup_table("viridis")[255]).all()


def test_an_overlay_mixes_photograph_and_colour_by_its_opacity():
    photo = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    mask = np.random.default_rng(1).random((6, 7))
    assert (overlay(photo, mask, 0) == photo).all()
    assert (overlay(photo, mask, 1, "magma") == colour(mask, "magma")).all()
    half = overlay(photo, mask, 0.5).astype(int)
    assert abs(half - (photo.astype(int) + colour(mask)) / 2).max() <= 0.5
    assert overlay(photo[..., 0], mask).shape == (6, 7, 3)
    with pytest.raises(ValueError, match="differ in size"):
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

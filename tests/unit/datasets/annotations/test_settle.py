"""Boxes in pixels of the decoded photograph, or refused. The expected values were computed by hand."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.settle import CUT, SCALED, SWAPPED_SIZE, TURNED, settle_boxes
from gfi.datasets.decode import decode

SIZE = (64, 96)
"""(H, W) of the photograph."""


def box(*sides: float, **more) -> Box:
    return Box("red", *sides, **more)


@pytest.mark.parametrize(
    ("given", "sides", "repairs"),
    [
        (box(40, 8, 80, 40), (40, 8, 80, 40), ()),
        (box(0, 0, 96, 64), (0, 0, 96, 64), ()),
        (box(0, 0, 97, 65), (0, 0, 96, 64), ()),  # both ends inside, up to the edge: no repair
        (box(-10, 8, 80, 40), (0, 8, 80, 40), (CUT,)),
        (box(40, 8, 99, 40), (40, 8, 96, 40), (CUT,)),
        (box(40, 8, 300, 40, frame=SIZE), (40, 8, 96, 40), (CUT,)),
        (box(0.25, 0.125, 0.75, 0.625, unit="fraction"), (24, 8, 72, 40), ()),
        (box(25, 12.5, 75, 62.5, unit="percent"), (24, 8, 72, 40), ()),
        (box(0.25, 0.125, 1.01, 0.625, unit="fraction"), (24, 8, 96, 40), ()),
        (box(40, 8, 80, 40, frame=(64, 96)), (40, 8, 80, 40), ()),
        (box(40, 8, 80, 40, frame=(63, 96)), (40, 8, 80, 40), ()),
        (box(400, 80, 800, 400, frame=(640, 960)), (40, 8, 80, 40), (SCALED,)),
        (box(20, 4, 40, 20, frame=(32, 48)), (40, 8, 80, 40), (SCALED,)),
        (box(133.3333, 26.6667, 266.6667, 133.3333, frame=(213, 320)), (40, 8, 80, 40), (SCALED,)),
        (box(40, 8, 80, 40, frame=(96, 64)), (40, 8, 80, 40), (SWAPPED_SIZE,)),
    ],
)
def test_a_box_comes_out_in_pixels_of_the_photograph(given, sides, repairs):
    settled = settle_boxes([given], SIZE)
    assert settled.error is None
    assert settled.boxes[0].sides == pytest.approx(sides, abs=0.1)
    assert (settled.boxes[0].unit, settled.boxes[0].frame, settled.boxes[0].label) == ("pixel", None, "red")
    assert settled.repairs == repairs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (box(100, 100, 120, 120), r"\[100, 100, 120, 120\] lies outside the photograph of 96×64"),
        (box(-30, 0, -10, 20), "lies outside"),
        (box(40, 8, 300, 40), "larger original, or in percent"),
        (box(400, 80, 800, 400), "outside"),
        (box(8.1, 8.1, 8.4, 8.4), "covers no pixel"),
        (box(40, 8, 80, 40, frame=(500, 500)), "a picture of 500×500 pixels, and the photograph has 96×64"),
        (box(10, 70, 40, 90, frame=(96, 64)), "a picture of 64×96"),  # fits neither way without EXIF
    ],
)
def test_a_box_without_a_reading_costs_the_image_its_boxes(given, said):
    settled = settle_boxes([box(1, 1, 5, 5, frame=given.frame), given], SIZE)
    assert settled.boxes == ()
    assert re.search(said, settled.error or "")


def test_boxes_of_different_pictures_are_refused():
    settled = settle_boxes([box(1, 1, 5, 5, frame=(10, 10)), box(1, 1, 5, 5)], SIZE)
    assert "different sizes" in (settled.error or "")


def test_no_boxes_settle_to_none():
    assert settle_boxes([], SIZE).boxes == ()
    assert settle_boxes([], SIZE).error is None


def stored(orientation: int) -> bytes:
    """A stored picture of 40 rows and 60 columns, black with one white rectangle, turned by EXIF."""
    pixels = np.zeros((40, 60), np.uint8)
    pixels[5:11, 45:58] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_picture_are_turned_with_it(orientation):
    photograph = decode(stored(orientation))
    assert photograph.size == (60, 40)
    settled = settle_boxes([box(45, 5, 58, 11, frame=(40, 60))], photograph.size, photograph.orientation)
    assert settled.repairs == (TURNED,)
    left, top, right, bottom = map(int, settled.boxes[0].sides)
    inside = photograph.rgb[top:bottom, left:right]
    assert inside.min() == 255
    assert inside.sum() == photograph.rgb.sum()


def test_a_box_that_fits_upright_and_as_stored_has_two_readings():
    photograph = decode(stored(6))
    settled = settle_boxes([box(5, 5, 20, 20, frame=(40, 60))], photograph.size, photograph.orientation)
    assert "60×40" in (settled.error or "")

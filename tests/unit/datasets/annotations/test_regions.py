"""Regions of objects: polygons, run lengths and mask images, as pixels of the upright photograph."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.annotations import regions
from gfi.datasets.annotations.boxes import Box, ImageBoxes, decide, read_region, with_region
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.errors import DatasetError, Unavailable

MASK = np.zeros((4, 6), bool)
MASK[1:3, 2:5] = True
MASK[0, 5] = True


def png(mask: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(out, "PNG")
    return out.getvalue()


def test_a_pixel_is_in_a_polygon_if_its_centre_is() -> None:
    square = regions.bitmap(regions.polygons_text([[(1, 1), (3.4, 1), (3.4, 3), (1, 3)]]), (4, 6))
    assert np.argwhere(square).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 20, (7, 2))
    drawn = regions.bitmap(regions.polygons_text([[tuple(p) for p in points]]), (16, 12))
    for row, column in np.ndindex(16, 12):  # the even-odd rule, pixel by pixel
        x, y, inside = column + 0.5, row + 0.5, False
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                inside = not inside
        assert drawn[row, column] == inside


@pytest.mark.parametrize(
    "written",
    [
        {"size": [4, 6], "counts": [9, 2, 2, 2, 2, 2, 1, 1, 3]},
        {"size": [4, 6], "counts": "922000OO2"},  # by pycocotools
    ],
)
def test_run_lengths_of_coco_are_read_down_the_columns(written: dict) -> None:
    outline = regions.run_lengths_text(written)
    assert np.array_equal(regions.bitmap(outline, (0, 0)), MASK)
    text, around = regions.settled(MASK)
    assert (json.loads(text)["counts"], around) == ([9, 2, 2, 2, 2, 2, 1, 1, 3], (2, 0, 6, 3))


def settle(value: object, size: tuple[int, int], orientation: int = 1, mask: bytes = b"") -> Box:
    region = read_region(value, lambda key: (key, "v1"))
    assert region is not None
    found = settle_boxes(decide([region]).boxes, size, orientation, lambda key, version: mask)
    if found.error:
        raise DatasetError(found.error)
    (box,) = found.boxes
    return box


def drawn(box: Box, size: tuple[int, int]) -> np.ndarray:
    assert box.outline is not None
    return regions.bitmap(box.outline, size)


def test_a_mask_image_is_the_region_and_says_where_its_box_is() -> None:
    box = settle("masks/1.png", (4, 6), mask=png(MASK))
    assert box.sides == (2, 0, 6, 3)
    assert np.array_equal(drawn(box, (4, 6)), MASK)
    turned = settle("masks/1.png", (6, 4), 6, png(MASK))
    assert np.array_equal(drawn(turned, (6, 4)), np.rot90(MASK, -1)), "as the photograph is turned"
    larger = settle("masks/1.png", (8, 12), mask=png(MASK))
    assert np.array_equal(drawn(larger, (8, 12)), MASK.repeat(2, 0).repeat(2, 1))


def test_a_mask_is_of_no_format_for_which_a_program_is_run() -> None:
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\nshowpage\n"
    with pytest.raises(DatasetError, match="the mask cannot be read: cannot identify image file"):
        regions.read_mask(drawing)


def test_a_polygon_is_scaled_with_its_box() -> None:
    box = settle("[[0.5, 0.25], [1, 0.25], [1, 1], [0.5, 1]]", (4, 8))
    assert box.sides == (4, 1, 8, 4)
    assert np.argwhere(drawn(box, (4, 8))).min(0).tolist() == [1, 4]
    assert drawn(box, (4, 8)).sum() == 12


def test_the_box_of_run_lengths_follows_them_where_they_are_scaled_or_turned() -> None:
    written = {"size": [4, 6], "counts": [9, 2, 2, 2, 2, 2, 1, 1, 3]}
    assert settle(written, (4, 6)).sides == (2, 0, 6, 3)
    assert settle(written, (8, 12)).sides == (4, 0, 12, 6)
    turned = settle(written, (6, 4), 6)
    assert turned.sides == (1, 2, 4, 6)
    assert np.array_equal(drawn(turned, (6, 4)), np.rot90(MASK, -1))
    stored = Box("red", 2, 0, 6, 3, outline=regions.run_lengths_text(written))  # as earlier manifests have it
    assert settle_boxes([stored], (8, 12)).boxes[0].sides == (4, 0, 12, 6)
    (kept,) = settle_boxes([replace(stored, left=1)], (4, 6)).boxes
    assert kept.sides == (1, 0, 6, 3), "the file's own box, where nothing was scaled"


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_a_mask_of_the_other_shape_is_refused_where_the_photograph_keeps_its_sides(orientation: int) -> None:
    with pytest.raises(DatasetError, match="6×4 pixels, and the photograph has 4×6"):
        settle("masks/1.png", (6, 4), orientation, png(MASK))


@pytest.mark.parametrize(
    "polygon", [[], [(1, 1), (3, 3)], [(1, 1), (3, math.nan), (3, 3)], [(0, 0), (1e300, 0), (1, 1)]]
)
def test_a_polygon_that_cannot_be_drawn_costs_the_image_its_boxes(polygon: list) -> None:
    given = Box("red", 0, 0, 4, 4, outline=regions.polygons_text([polygon]))
    found = settle_boxes([given], (4, 6))
    assert found.boxes == ()
    assert "of its region" in (found.error or "")


def test_only_what_is_in_pixels_is_scaled_from_a_frame() -> None:
    region = read_region("[[0.5, 0], [1, 0], [1, 1]]", lambda key: (key, None))
    assert region is not None
    beside = with_region(ImageBoxes((Box("red", 10, 10, 40, 20, frame=(40, 60)),)), region)
    found = settle_boxes(beside.boxes, (4, 6))
    assert [box.sides for box in found.boxes] == [(1, 1, 4, 2), (3, 0, 6, 4)]


def test_an_outage_of_the_storage_of_a_mask_is_no_fault_of_the_image() -> None:
    def away(key: str, version: str | None) -> bytes:
        raise Unavailable("the storage is away")

    region = read_region("masks/1.png", lambda key: (key, None))
    assert region is not None
    with pytest.raises(Unavailable):
        settle_boxes(decide([region]).boxes, (4, 6), read=away)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("masks/1.png", "cannot be read"),
        ({"size": [4, 6], "counts": [3]}, "do not fill 6×4"),
        ({"size": [2, 2], "counts": [2**63 - 1, 2**63 - 1, 6]}, "do not fill 2×2"),  # 4 in 64 bits
        ({"size": [4, 6], "counts": "~"}, "run lengths are"),
        ({"counts": [3]}, "run lengths are"),
        ({"size": [2**40, 2**40], "counts": [4]}, "run lengths of"),
        ({"size": [4, 6], "counts": [24]}, "without a pixel"),
        ("[[1, 2]]", "three points"),
        ("[[1, 1.1], [5, 1.1], [5, 1.2]]", "covers no pixel"),
        ("[[1, 1], [5, 3], [5, 3.01]]", "no pixel"),
        ("[[1, 2}", "not JSON"),
        (3, "a region is"),
        ({"size": [5, 5], "counts": [5, 20]}, "5×5 pixels, and the photograph has 6×4"),
    ],
)
def test_a_region_that_is_none_is_said(value: object, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        settle(value, (4, 6), mask=b"nothing")

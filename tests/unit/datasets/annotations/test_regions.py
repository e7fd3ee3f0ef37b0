"""Regions of objects: polygons, run lengths and mask images, as pixels of the upright photograph."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.annotations import regions
from gfi.datasets.annotations.boxes import Box, decide, read_region
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


def test_a_polygon_is_scaled_with_its_box() -> None:
    box = settle("[[0.5, 0.25], [1, 0.25], [1, 1], [0.5, 1]]", (4, 8))
    assert box.sides == (4, 1, 8, 4)
    assert np.argwhere(drawn(box, (4, 8))).min(0).tolist() == [1, 4]
    assert drawn(box, (4, 8)).sum() == 12


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
        ("[[1, 2]]", "three points"),
        ("[[1, 2}", "not JSON"),
        (3, "a region is"),
        ({"size": [5, 5], "counts": [5, 20]}, "5×5 pixels, and the photograph has 6×4"),
    ],
)
def test_a_region_that_is_none_is_said(value: object, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        settle(value, (4, 6), mask=b"nothing")

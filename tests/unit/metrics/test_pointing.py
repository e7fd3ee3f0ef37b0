"""The pointing game against the literal version, and points worked out by hand."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.pointing import accuracy, ordinary, pointing, strongest
from tests.unit.metrics import literal
from tests.unit.metrics.cases import CASES, random_mask


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tolerance", [0, 3, 15])
def test_pointing_equals_the_literal_version(case, tolerance):
    size, box, regions = CASES[case]
    masks = np.stack([random_mask(seed) for seed in range(8)])[:, None]
    fast = pointing(masks, [size] * 8, [box] * 8, [regions] * 8, tolerance)
    assert fast.tolist() == [literal.pointing(m[0], size, box, regions, tolerance) for m in masks]


def test_a_photograph_turned_by_exif_is_measured_upright():
    # Stored lying (40 wide, 20 high), shown standing (20 wide, 40 high) by orientation 6: turn clockwise.
    # The bright patch is stored at the left edge, rows 0-10; clockwise, it comes to the top, on the right.
    stored = np.zeros((20, 40, 3), np.uint8)
    stored[0:10, 0:10] = 255
    data = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(data, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(data)))
    assert upright.shape[:2] == (40, 20)
    mask = np.asarray(Image.fromarray(upright[..., 0]).resize((20, 20), Image.Resampling.BOX)) / 255.0
    seen = (0, 0, 20, 40)
    assert strongest(mask, (40, 20), seen) == (0, 10)
    boxes = [[(10, 0, 20, 10)], [(0, 0, 10, 10)], [(10, 30, 20, 40)]]
    args = np.repeat(mask[None], 3, 0), [(40, 20)] * 3, [seen] * 3, boxes
    assert pointing(*args, tolerance=0).tolist() == [1, 0, 0]
    assert pointing(*args, tolerance=1).tolist() == [1, 1, 0]  # column 9 is one from column 10
    # A mask row is two rows of the photograph: rows 0-8 read 1, row 9 reads 0.75 and row 10 reads 0.25.
    np.testing.assert_allclose(energy_in_box(*args), [9.75 / 10, 0, 0])


@pytest.mark.parametrize(("distance", "hit"), [(0, 1), (15, 1), (16, 0)])
def test_the_tolerance_of_pointing_is_in_pixels_of_the_photograph(distance, hit):
    # A 400 × 200 photograph seen at 8×4: a mask pixel is 50 photograph pixels wide.
    mask = np.zeros((4, 8))
    mask[1, 2] = 1
    row, column = strongest(mask, (200, 400), (0, 0, 400, 200))
    assert (row, column) == (74, 124)
    region = [(column + distance, 0, column + distance + 30, 200)]
    assert pointing(mask[None], [(200, 400)], [(0, 0, 400, 200)], [region]).tolist() == [hit]


def test_the_distance_to_a_corner_is_euclidean():
    mask = np.zeros((50, 50))
    mask[10, 10] = 1
    near, far = [(19, 22, 40, 40)], [(21, 22, 40, 40)]  # (9, 12) → 15 pixels; (11, 12) → 16.3
    sizes, boxes = [(50, 50)] * 2, [(0, 0, 50, 50)] * 2
    assert pointing(np.stack([mask, mask]), sizes, boxes, [near, far]).tolist() == [1, 0]


def test_the_strongest_point_is_in_the_part_that_the_network_saw():
    mask = np.array([[1.0, 0.9], [0.9, 0.8]])
    assert strongest(mask, (10, 30), (10, 0, 20, 10)) == (0, 10)


def test_images_without_a_box_or_a_valid_mask_have_no_score():
    masks = np.stack([random_mask(), np.zeros((9, 8)), np.full((9, 8), np.nan)])
    sizes, boxes = [(20, 20)] * 3, [(0, 0, 20, 20)] * 3
    truth = [(0, 0, 20, 20)]
    assert np.isnan(pointing(masks[:1], sizes[:1], boxes[:1], [[]])).all()
    assert np.isnan(energy_in_box(masks[:1], sizes[:1], boxes[:1], [[]])).all()
    # an empty mask has no strongest point
    assert pointing(masks, sizes, boxes, [truth] * 3).tolist() == [1, 0, 0]
    assert np.isnan(energy_in_box(masks, sizes, boxes, [truth] * 3)).tolist() == [False, True, True]


def test_difficult_boxes_are_kept_apart():
    easy, hard = (0, 0, 5, 5), (5, 5, 9, 9)
    assert ordinary([easy, hard], [False, True]) == ([easy], False)
    assert ordinary([hard], [True]) == ([hard], True)
    assert ordinary([], []) == ([], False)


def test_pointing_is_averaged_over_classes_not_images():
    hits, classes = [1, 1, 1, 0, 0, np.nan], ["person", "person", "person", "person", "cat", "cat"]
    score = accuracy(hits, classes)
    assert score.by_class == literal.class_averaged(hits[:5], classes[:5]) == (0.75 + 0) / 2
    assert score.overall == 0.6
    assert score.classes == {"person": (0.75, 4), "cat": (0.0, 1)}
    assert np.isnan(accuracy([], []).by_class)

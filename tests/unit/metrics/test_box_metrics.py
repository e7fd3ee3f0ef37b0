"""The metrics in the photograph's own coordinates: literal versions, and values worked out by hand."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from gfi.domain.geometry import pixels, place
from gfi.metrics.area import area
from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.pointing import accuracy, ordinary, pointing, strongest
from tests.unit.metrics import literal

CASES = {
    "square": ((20, 20), (0, 0, 20, 20), [(3, 4, 9, 15)]),
    "wide, squashed": ((12, 37), (0, 0, 37, 12), [(3, 4, 9, 10), (7, 2, 30, 8)]),
    "tall, cropped": ((41, 17), (0, 12, 17, 29), [(2, 10, 12, 20)]),
    "fractional box": ((30, 23), (2.5, 3.25, 20.75, 21.5), [(0, 0, 10, 10), (5, 5, 12, 25)]),
    "smaller than the mask": ((5, 4), (0, 0, 4, 5), [(1, 1, 3, 4)]),
    "box beyond the border": ((15, 15), (0, 0, 15, 15), [(-4, 8, 6, 90)]),
}


def random_mask(seed=0, size=(9, 8)):
    return np.random.default_rng(seed).random(size)


@pytest.mark.parametrize("case", CASES)
def test_a_mask_is_placed_as_the_literal_version_places_it(case):
    size, box, _ = CASES[case]
    np.testing.assert_allclose(
        place(random_mask(), size, box), literal.on_photograph(random_mask(), size, box), atol=1e-6
    )


@pytest.mark.parametrize("case", CASES)
def test_energy_in_box_equals_the_literal_version(case):
    size, box, regions = CASES[case]
    masks = np.stack([random_mask(seed) for seed in range(3)])[:, None]
    fast = energy_in_box(masks, [size] * 3, [box] * 3, [regions] * 3)
    slow = [literal.energy_in_box(m[0], size, box, regions) for m in masks]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tolerance", [0, 3, 15])
def test_pointing_equals_the_literal_version(case, tolerance):
    size, box, regions = CASES[case]
    masks = np.stack([random_mask(seed) for seed in range(8)])[:, None]
    fast = pointing(masks, [size] * 8, [box] * 8, [regions] * 8, tolerance)
    assert fast.tolist() == [literal.pointing(m[0], size, box, regions, tolerance) for m in masks]


def test_energy_by_hand_on_a_wide_photograph_squashed_to_a_square():
    # 4×4 mask over 8 high × 16 wide: a mask pixel is 2 rows × 4 columns. Mass 3 evenly in the left half
    # and 1 in the right; the box is the left half, less the band where the two mix.
    mask = np.repeat([[3.0, 3.0, 1.0, 1.0]], 4, axis=0)
    # Columns 0-5 read 3; 6-9 lie between the centres of mask columns 1 and 2: 2.75, 2.25, 1.75, 1.25.
    assert place(mask, (8, 16), (0, 0, 16, 8))[0].tolist() == [3] * 6 + [2.75, 2.25, 1.75, 1.25] + [1] * 6
    (share,) = energy_in_box(mask[None], [(8, 16)], [(0, 0, 16, 8)], [[(0, 0, 8, 8)]])
    assert share == pytest.approx((6 * 3 + 2.75 + 2.25) / (6 * 3 + 2.75 + 2.25 + 1.75 + 1.25 + 6))


def test_energy_by_hand_on_a_centre_crop():
    # 10 × 30 photograph, the network saw columns 10-20. An even mask: mass only there.
    mask = np.ones((1, 5, 5))
    seen = (10, 0, 20, 10)
    regions = [[(0, 0, 15, 10)], [(0, 0, 10, 10)], [(12, 2, 17, 6)]]
    shares = energy_in_box(np.repeat(mask, 3, 0), [(10, 30)] * 3, [seen] * 3, regions)
    np.testing.assert_allclose(shares, [0.5, 0.0, 20 / 100])


def test_overlapping_boxes_count_once():
    mask = np.ones((1, 4, 4))
    (share,) = energy_in_box(mask, [(10, 10)], [(0, 0, 10, 10)], [[(0, 0, 6, 10), (4, 0, 8, 10)]])
    assert share == pytest.approx(0.8)


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
def test_pointing_forgives_fifteen_pixels_of_the_photograph_not_of_the_input(distance, hit):
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


def test_a_point_is_only_sought_where_the_network_looked():
    mask = np.array([[1.0, 0.9], [0.9, 0.8]])
    assert strongest(mask, (10, 30), (10, 0, 20, 10)) == (0, 10)


def test_images_without_a_box_or_a_mask_have_no_verdict():
    masks = np.stack([random_mask(), np.zeros((9, 8)), np.full((9, 8), np.nan)])
    sizes, boxes = [(20, 20)] * 3, [(0, 0, 20, 20)] * 3
    truth = [(0, 0, 20, 20)]
    assert np.isnan(pointing(masks[:1], sizes[:1], boxes[:1], [[]])).all()
    assert np.isnan(energy_in_box(masks[:1], sizes[:1], boxes[:1], [[]])).all()
    assert pointing(masks, sizes, boxes, [truth] * 3).tolist() == [1, 0, 0]  # an empty mask points nowhere
    assert np.isnan(energy_in_box(masks, sizes, boxes, [truth] * 3)).tolist() == [False, True, True]


def test_a_hundred_megapixels_are_measured_without_drawing_them():
    size, box = (10_000, 10_000), (0.0, 0.0, 10_000.0, 10_000.0)
    (share,) = energy_in_box(np.ones((1, 7, 7)), [size], [box], [[(0, 0, 5000, 5000)]])
    assert share == pytest.approx(0.25)


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


def test_area_and_entropy_equal_the_literal_version():
    masks = np.stack(
        [random_mask(seed)[None] for seed in range(3)] + [np.zeros((1, 9, 8)), np.ones((1, 9, 8))]
    )
    fast = area(masks)
    slow = [literal.area_and_entropy(mask[0]) for mask in masks]
    np.testing.assert_allclose(np.stack([fast.area, fast.entropy], 1), slow, atol=1e-12)
    assert fast.near_empty.tolist() == [False, False, False, True, False]
    assert fast.near_full.tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("region", "expected"),
    [((1, 2, 4, 6), (2, 6, 1, 4)), ((0.4, 0.6, 2.5, 3.51), (1, 4, 0, 2)), ((-5, -5, 90, 90), (0, 8, 0, 10))],
)
def test_a_box_holds_the_pixels_whose_centre_it_holds(region, expected):
    assert pixels(region, (8, 10)) == expected


def test_metrics_with_boxes_load_no_torch():
    names = "gfi.metrics.energy_in_box, gfi.metrics.pointing, gfi.report.page, gfi.report.contact_sheet"
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

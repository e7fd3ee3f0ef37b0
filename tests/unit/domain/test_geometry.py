"""Geometry: fitting, drawing and placing, by exact values and compared with literal versions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gfi.domain import geometry
from gfi.domain.geometry import (
    Rectangle,
    Size,
    axis,
    draw,
    fit,
    fitted,
    matrix,
    pixels,
    place,
    scaled,
    seen,
    whole,
)
from tests.unit.metrics import literal
from tests.unit.metrics.cases import CASES, random_mask


@pytest.mark.parametrize("case", CASES)
def test_a_mask_is_placed_as_the_literal_version_places_it(case: str) -> None:
    size, box, _ = CASES[case]
    np.testing.assert_allclose(
        place(random_mask(), size, box), literal.on_photograph(random_mask(), size, box), atol=1e-6
    )


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ((1, 2, 4, 6), (2, 6, 1, 4)),
        ((0.4, 0.6, 2.5, 3.51), (1, 4, 0, 2)),
        ((-5, -5, 90, 90), (0, 8, 0, 10)),
        (
            (0.5, 1.5, 2.5, 3.5),
            (1, 3, 0, 2),
        ),  # a centre on the left edge is inside, on the right edge outside
        ((20, 20, 30, 30), (8, 8, 10, 10)),
    ],
)
def test_a_box_holds_the_pixels_whose_centre_it_holds(region: Rectangle, expected: tuple) -> None:
    assert pixels(region, (8, 10)) == expected


@pytest.mark.parametrize("box", [(1, 2, 4, 6), (0.5, 1.5, 2.5, 3.5), (0.4, 0.6, 2.5, 3.51), (2, 0, 9, 8)])
def test_what_the_network_saw_has_the_edges_of_a_ground_truth_box(box: Rectangle) -> None:
    top, bottom, left, right = pixels(box, (8, 10))
    expected = np.zeros((8, 10), bool)
    expected[top:bottom, left:right] = True
    assert (seen((8, 10), box) == expected).all()
    assert ((place(np.ones((3, 5)), (8, 10), box) == 1) == expected).all()


@pytest.mark.parametrize(
    ("size", "longest", "enlarge", "expected"),
    [
        ((600, 800), 400, False, (300, 400)),
        ((800, 600), 400, False, (400, 300)),
        ((333, 500), 360, False, (240, 360)),  # 239.76
        ((5, 2), 1, False, (1, 1)),
        ((10, 3), 5, False, (5, 2)),  # 1.5 up
        ((10, 5), 5, False, (5, 3)),  # 2.5 up, where round() goes down
        ((1, 9_000_000), 1024, False, (1, 1024)),
        ((30, 20), 60, False, (30, 20)),
        ((30, 20), 60, True, (60, 40)),
    ],
)
def test_a_picture_is_made_smaller_by_one_rule(
    size: Size, longest: int, enlarge: bool, expected: Size
) -> None:
    assert fitted(size, longest, enlarge) == expected


@pytest.mark.parametrize(
    ("size", "input_size", "resize", "resized", "corner"),
    [
        ((480, 640), (224, 224), None, (224, 298), (0, 37)),  # 298.67 down
        ((640, 480), (224, 224), None, (298, 224), (37, 0)),
        ((500, 375), (224, 224), 256, (341, 256), (58, 16)),  # 58.5 to the even number
        ((224, 224), (224, 224), None, (224, 224), (0, 0)),
        ((101, 99), (32, 32), None, (32, 32), (0, 0)),
        ((100, 50), (32, 48), 40, (120, 60), (44, 6)),
        ((1, 500), (32, 32), None, (32, 16000), (0, 7984)),
        ((1, 1), (7, 5), None, (7, 7), (0, 1)),
    ],
)
def test_a_photograph_is_cropped_as_torchvision_crops_it(
    size: Size, input_size: Size, resize: int | None, resized: Size, corner: Size
) -> None:
    fitting = fit(size, input_size, resize)
    assert (fitting.resized, fitting.corner) == (resized, corner)
    left, top, right, bottom = scaled(fitting.box, size, resized)
    assert (top, left) == pytest.approx(corner)
    assert (bottom - top, right - left) == pytest.approx(input_size)


@pytest.mark.parametrize("size", [(481, 640), (640, 481), (333, 500), (224, 1000), (57, 43)])
@pytest.mark.parametrize("resize", [224, 256, 235])
def test_the_crop_is_torchvisions_to_the_pixel(size: Size, resize: int) -> None:
    short, long = sorted(size)
    expected = resize, int(resize * long / short)  # torchvision.transforms.functional.resize
    high, wide = expected if size[0] <= size[1] else expected[::-1]
    assert fit(size, (224, 224), resize).resized == (high, wide)
    corner = round((high - 224) / 2.0), round((wide - 224) / 2.0)  # … and center_crop
    assert fit(size, (224, 224), resize).corner == corner


def test_a_rectangle_is_scaled_on_each_axis_by_itself() -> None:
    # 333×500 at 360 pixels is 240×360, and 240/333 is not 360/500.
    assert fitted((333, 500), 360) == (240, 360)
    assert scaled((50, 0, 500, 333), (333, 500), (240, 360)) == (36, 0, 360, 240)
    assert scaled(whole((333, 500)), (333, 500), (7, 3)) == whole((7, 3)) == (0, 0, 3, 7)


def test_a_mask_keeps_its_border_value_up_to_the_edge_of_the_box() -> None:
    np.testing.assert_allclose(
        place(np.array([[0.0, 1.0]]), (1, 8), (2, 0, 6, 1)), [[0, 0, 0, 0.25, 0.75, 1, 0, 0]]
    )
    assert place(np.array([[0.25, 1.0]]), (1, 4), (0, 0, 4, 1)).tolist() == [[0.25, 0.4375, 0.8125, 1.0]]
    with pytest.raises(ValueError, match="the box is empty: 3 to 3"):
        axis(2, 4, 3, 3)


def test_a_mask_to_be_shown_has_only_numbers_and_one_to_be_measured_is_as_it_is() -> None:
    bad = np.array([[0.5, np.nan, np.inf, -np.inf, 3.0]])
    assert place(bad, (1, 5), whole((1, 5))).tolist() == [[0.5, 0, 1, 0, 3]]
    ((_, lines),) = geometry.stripes(np.array([[2.0, 0.5, np.nan]]), (1, 3), whole((1, 3)))
    assert lines[0, 0] == 2
    assert math.isnan(lines[0, 2])


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(
    ("grid", "size"), [((7, 7), (224, 224)), ((14, 9), (37, 61)), ((1, 5), (8, 5)), ((6, 6), (3, 1))]
)
def test_drawing_a_grid_is_bilinear_interpolation(grid: Size, size: Size, corners: bool) -> None:
    m = torch.rand(1, 1, *grid, dtype=torch.float64)
    wanted = F.interpolate(m, size, mode="bilinear", align_corners=corners)[0, 0]
    rows = matrix(grid[0], size[0], corners)
    columns = matrix(grid[1], size[1], corners)
    np.testing.assert_allclose(rows @ m[0, 0].numpy() @ columns.T, wanted, atol=1e-12)
    drawn = draw(m[0, 0].float().numpy(), size, corners)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, wanted, atol=1e-6)


@pytest.mark.parametrize("size", [(37, 61), (8, 5), (3, 9)])
def test_drawing_and_placing_on_all_of_a_picture_are_the_same(size: Size) -> None:
    mask = random_mask().astype(np.float32)
    np.testing.assert_allclose(draw(mask, size, False), place(mask, size, whole(size)), atol=1e-7)

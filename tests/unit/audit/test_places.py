"""Places and their controls."""

import numpy as np
import pytest

from gfi.audit.places import Place, around, lattice, mass, of_cell


def test_the_place_of_a_cell_at_the_border_is_moved_inside_not_cut() -> None:
    corner, middle = of_cell(0, 0, 7), of_cell(3, 3, 7)
    assert corner.area == pytest.approx(middle.area)
    assert (corner.left, corner.top) == (0, 0)


def test_controls_have_the_same_pixels_and_share_none_with_the_place() -> None:
    for cells in (7, 14):
        place = of_cell(2, 4, cells)
        controls = lattice(place)
        top, bottom, left, right = place.pixels((64, 64))
        assert len(controls) >= 19
        for control in controls:
            a, b, c, d = control.pixels((64, 64))
            assert (b - a, d - c) == (bottom - top, right - left)
            assert control.overlap(place) < 1e-9


def test_the_mass_in_a_place_is_the_integral_of_the_mask() -> None:
    grid = np.random.default_rng(0).random((5, 7))
    everywhere = mass(grid, [Place(0, 0, 1, 1), Place(0, 0, 0.5, 1), Place(0.5, 0, 1, 1)])
    assert everywhere[0] == pytest.approx(1)
    assert everywhere[1] + everywhere[2] == pytest.approx(1)
    assert mass(np.zeros((2, 2)), [Place(0, 0, 1, 1)]) == pytest.approx([0])


def test_touching_needs_shared_area() -> None:
    place = around(0.25, 0.25, 0.5)
    assert place.touches(np.array([[0.4, 0.4, 0.9, 0.9]]))
    assert not place.touches(np.array([[0.5, 0.0, 1.0, 1.0]]))


def test_a_place_is_named_in_words() -> None:
    assert of_cell(0, 0, 7).words() == "top left"
    assert of_cell(3, 3, 7).words() == "middle"


def test_a_rectangle_outside_the_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="rectangle"):
        Place(0.5, 0, 0.4, 1)


def test_places_of_equal_sides_are_equal_in_pixels_wherever_they_are() -> None:
    for side in (0.19, 1.25 * 18 / 64, 1.5 / 7, 2 / 7):
        sizes = set()
        for at in np.linspace(0, 1, 97):
            top, bottom, left, right = around(float(at), float(1 - at), side).pixels((64, 48))
            sizes.add((bottom - top, right - left))
            assert 0 <= top < bottom <= 64
            assert 0 <= left < right <= 48
        assert len(sizes) == 1

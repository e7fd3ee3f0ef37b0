"""Properties of the whole image."""

import numpy as np
import pytest

from gfi.domain.pixel_properties import PROPERTIES, pixel_properties

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 20, 24, 3)).astype(np.uint8)


def test_a_tint_moves_its_colour_and_a_blur_the_sharpness() -> None:
    plain = pixel_properties(IMAGES)
    red = IMAGES.copy()
    red[..., 0] = 255
    assert (pixel_properties(red)["red_green"] > plain["red_green"]).all()
    soft = IMAGES.astype(float)
    soft = ((soft[:, 1:, 1:] + soft[:, :-1, 1:] + soft[:, 1:, :-1] + soft[:, :-1, :-1]) / 4).astype(np.uint8)
    assert (pixel_properties(soft)["sharpness"] < plain["sharpness"]).all()


def test_a_grey_image_has_no_colour() -> None:
    values = pixel_properties(np.full((1, 8, 8, 3), 100, np.uint8))
    assert values["saturation"][0] == 0
    assert values["red_green"][0] == 0
    assert np.isfinite(values["sharpness"][0])


def test_every_property_of_the_pixels_is_listed() -> None:
    assert [*pixel_properties(IMAGES), "jpeg_quality"] == list(PROPERTIES)


def test_numbers_are_those_of_the_definition() -> None:
    """A literal second computation of one image."""
    x = IMAGES[2].astype(np.float64) / 255
    grey = 0.299 * x[..., 0] + 0.587 * x[..., 1] + 0.114 * x[..., 2]
    values = {name: value[2] for name, value in pixel_properties(IMAGES).items()}
    assert values["brightness"] == pytest.approx(grey.mean(), abs=1e-6)
    assert values["contrast"] == pytest.approx(grey.std(), abs=1e-6)
    assert values["aspect"] == 24 / 20
    across, down = (grey[:, 1:] - grey[:, :-1]) ** 2, (grey[1:] - grey[:-1]) ** 2
    assert values["sharpness"] == pytest.approx(np.log(across.mean() + down.mean() + 1e-6), abs=1e-5)


def test_bars_and_frames_are_borders_and_a_plain_image_is_all_border() -> None:
    inside = np.random.default_rng(1).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    inside[0, 0] = inside[-1, -1] = 200  # no part of a black bar
    bars = np.zeros((1, 10, 8, 3), np.uint8)
    bars[0, 2:8] = inside
    framed = np.full((1, 10, 12, 3), 250, np.uint8)
    framed[0, 2:8, 2:10] = inside
    assert pixel_properties(bars)["border"][0] == pytest.approx(0.4)
    assert pixel_properties(framed)["border"][0] == pytest.approx(1 - 48 / 120)
    assert pixel_properties(np.full((1, 5, 5, 3), 9, np.uint8))["border"][0] == 1
    assert (pixel_properties(IMAGES)["border"] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_lines_and_single_pixels_have_no_warning_and_no_sharpness_that_is_made_up(
    shape: tuple[int, int],
) -> None:
    values = pixel_properties(np.zeros((1, *shape, 3), np.uint8))
    assert np.isnan(values["sharpness"][0]) == (shape == (1, 1))
    assert values["border"][0] == 1

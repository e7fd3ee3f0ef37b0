"""Properties of the whole image."""

import numpy as np

from gfi.audit.pixel_properties import pixel_properties

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 20, 24, 3)).astype(np.uint8)


def test_a_tint_moves_its_colour_and_a_blur_the_sharpness() -> None:
    plain = pixel_properties(IMAGES)
    red = IMAGES.copy()
    red[..., 0] = 255
    assert (pixel_properties(red)["red - green"] > plain["red - green"]).all()
    soft = IMAGES.astype(float)
    soft = ((soft[:, 1:, 1:] + soft[:, :-1, 1:] + soft[:, 1:, :-1] + soft[:, :-1, :-1]) / 4).astype(np.uint8)
    assert (pixel_properties(soft)["sharpness"] < plain["sharpness"]).all()


def test_a_grey_image_has_no_colour() -> None:
    values = pixel_properties(np.full((1, 8, 8, 3), 100, np.uint8))
    assert values["saturation"][0] == 0
    assert values["red - green"][0] == 0
    assert np.isfinite(values["sharpness"][0])

"""What replaces removed pixels: blur, mean colour and noise."""

import numpy as np
import torch

from gfi.domain.presets import recipe
from gfi.method.fills import IMAGENET_MEAN, blur, make_fill, mean_colour
from gfi.method.preprocess import Preprocess
from tests.unit.method import literal


def test_the_blur_is_a_gaussian_convolution_with_reflected_borders() -> None:
    x = torch.randn(2, 3, 48, 70, dtype=torch.float64)
    for image in x:
        np.testing.assert_allclose(blur(image), literal.blurred(image[None])[0], atol=1e-12)
    flat = torch.full((1, 5, 200), 0.7)
    np.testing.assert_allclose(blur(flat), flat, atol=1e-6)  # an image smaller than the kernel


def test_mean_colour_and_noise_are_in_the_networks_own_units() -> None:
    imagenet = Preprocess((8, 8))
    image = torch.randn(3, 8, 8)
    assert not make_fill(image, imagenet, recipe("paper", fill="mean")).any()
    other = Preprocess((8, 8), 3, (0.5,) * 3, (0.5,) * 3)
    np.testing.assert_allclose(mean_colour(other), (np.array(IMAGENET_MEAN) - 0.5) / 0.5)
    assert mean_colour(Preprocess((8, 8), 1, (0.5,), (0.5,))).shape == (1,)
    noisy = recipe("paper", fill="noise")
    assert torch.equal(make_fill(image, imagenet, noisy), make_fill(image * 2, imagenet, noisy))

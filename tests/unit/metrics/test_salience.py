"""Salience against a literal version that counts pixels."""

import numpy as np
import pytest

from gfi.domain.geometry import place
from gfi.metrics.salience import salience


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_the_literal_version_on_crops_of_any_shape(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = (int(random.integers(20, 90)), int(random.integers(20, 90)))
    box = (3.0, 1.0, size[1] - 2.0, float(size[0]))
    mask, truth = random.random((7, 9)) ** 4, random.random(size) > 0.7
    shown = place(mask, size, box)
    threshold, both, marked, error = 2 * shown.astype(np.float64).mean(), 0, 0, 0.0
    for pixel in np.ndindex(size):
        above = shown[pixel] >= threshold
        marked, both = marked + above, both + (above and truth[pixel])
        error += abs(float(shown[pixel]) - float(truth[pixel]))
    precision, recall = both / marked, both / truth.sum()
    f = 1.3 * precision * recall / (0.3 * precision + recall)
    assert salience(mask, size, box, truth) == pytest.approx((precision, recall, f, error / truth.size))


def test_a_map_of_zeros_finds_nothing_and_another_size_is_refused() -> None:
    truth = np.ones((4, 4), bool)
    assert salience(np.zeros((1, 1)), (4, 4), (0, 0, 4, 4), truth) == (0.0, 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="photograph"):
        salience(np.zeros((1, 1)), (4, 5), (0, 0, 5, 4), truth)

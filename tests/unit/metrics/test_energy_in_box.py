"""Energy in box against the literal version, and shares worked out by hand."""

import numpy as np
import pytest

from gfi.domain.geometry import place
from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.sample import Sample, measure
from tests.unit.metrics import literal
from tests.unit.metrics.cases import CASES, random_mask


@pytest.mark.parametrize("case", CASES)
def test_energy_in_box_equals_the_literal_version(case):
    size, box, regions = CASES[case]
    masks = np.stack([random_mask(seed) for seed in range(3)])[:, None]
    fast = energy_in_box(masks, [size] * 3, [box] * 3, [regions] * 3)
    slow = [literal.energy_in_box(m[0], size, box, regions) for m in masks]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


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


def test_a_hundred_megapixels_are_measured_without_drawing_them():
    size, box = (10_000, 10_000), (0.0, 0.0, 10_000.0, 10_000.0)
    (share,) = energy_in_box(np.ones((1, 7, 7)), [size], [box], [[(0, 0, 5000, 5000)]])
    assert share == pytest.approx(0.25)


def test_the_region_of_a_box_has_the_energy_of_the_box_and_the_same_hits() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        mask = rng.random((7, 5)).astype(np.float32)
        size, seen = (300, 220), (10.0, 0.0, 200.0, 290.0)
        left, top = rng.integers(0, 150, 2).tolist()
        rectangle = (left, top, left + 60, top + 30)
        region = np.zeros(size, bool)
        region[top : top + 30, left : left + 60] = True
        boxed, outlined = (
            Sample(mask, 0, size, seen, (rectangle,), region=drawn) for drawn in (None, region)
        )
        assert measure("energy_in_box", outlined) == pytest.approx(measure("energy_in_box", boxed), abs=1e-9)
        assert measure("pointing", outlined) == measure("pointing", boxed)

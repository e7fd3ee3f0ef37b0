"""Area, entropy and flags against the literal version."""

import numpy as np

from gfi.metrics.area import area
from tests.unit.metrics import literal
from tests.unit.metrics.cases import random_mask


def test_area_and_entropy_equal_the_literal_version():
    masks = np.stack(
        [random_mask(seed)[None] for seed in range(3)] + [np.zeros((1, 9, 8)), np.ones((1, 9, 8))]
    )
    fast = area(masks)
    slow = [literal.area_and_entropy(mask[0]) for mask in masks]
    np.testing.assert_allclose(np.stack([fast.area, fast.entropy], 1), slow, atol=1e-12)
    assert fast.near_empty.tolist() == [False, False, False, True, False]
    assert fast.near_full.tolist() == [False, False, False, False, True]


def test_a_mask_that_is_not_finite_has_neither_number_and_its_neighbours_have_theirs():
    masks = np.stack([random_mask(0), random_mask(1), random_mask(2), random_mask(3)])
    masks[0, 0, 0], masks[1, 0, 0] = np.nan, np.inf
    masks[2, 0, :2] = np.inf, -np.inf
    with np.errstate(all="raise"):
        scores = area(masks)
    assert np.isnan(scores.area[:3]).all()
    assert np.isnan(scores.entropy[:3]).all()
    assert not scores.near_empty.any()
    assert not scores.near_full.any()
    assert scores.area[3] == area(masks[3:]).area[0]


def test_no_masks_are_no_numbers():
    assert [len(found) for found in area(np.empty((0, 1, 4, 4)))] == [0, 0, 0, 0]

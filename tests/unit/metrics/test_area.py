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

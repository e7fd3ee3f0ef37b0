"""Grids brought to a common size, and boxes on them."""

import numpy as np
import pytest

from gfi.audit.grids import cell_overlaps, centred, resized


def test_a_grid_that_shrinks_keeps_its_mean_and_averages_areas() -> None:
    grids = np.random.default_rng(0).random((3, 14, 14)).astype(np.float32)
    small = resized(grids, 7)
    assert small[1, 2, 3] == pytest.approx(grids[1, 4:6, 6:8].mean(), abs=1e-6)
    assert resized(grids, 5).mean() == pytest.approx(grids.mean(), abs=1e-6)


def test_no_grids_stay_no_grids() -> None:
    assert resized(np.zeros((0, 8, 8)), 7).shape == (0, 7, 7)
    with pytest.raises(ValueError, match="grids"):
        resized(np.zeros((8, 8)), 7)


def test_a_box_covers_the_share_of_each_cell_that_it_covers() -> None:
    cover = cell_overlaps(np.array([[0.25, 0.0, 1.0, 0.5]]), 2)[0]
    assert cover == pytest.approx(np.array([[0.5, 1.0], [0.0, 0.0]]))


def test_centred_grids_have_mean_zero_and_an_empty_mask_counts_as_even() -> None:
    out = centred(np.stack([np.zeros((2, 2)), np.full((2, 2), 3.0)]))
    assert out == pytest.approx(np.zeros((2, 2, 2)))

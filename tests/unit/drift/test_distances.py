"""Distances, compared with a slow version of their definition."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from gfi.domain.geometry import draw
from gfi.drift.distances import (
    CELLS,
    TOP_SHARE,
    Drawing,
    centres,
    frames,
    jensen_shannon,
    spearman,
    to_cells,
    top_area,
    top_weights,
)
from tests.unit.drift.tables import blob


def cells_of(*grids: np.ndarray) -> np.ndarray:
    size = grids[0].shape
    return to_cells(np.stack(grids).astype(np.float32), Drawing(size, (56, 56), False))


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_cell_is_the_mean_of_the_drawn_mask_over_its_area(align_corners: bool) -> None:
    grid = np.random.default_rng(0).random((7, 5), np.float32)
    cells = to_cells(grid[None], Drawing((7, 5), (56, 84), align_corners))[0]
    drawn = draw(grid, (56, 84), align_corners)
    assert cells == pytest.approx(drawn.reshape(CELLS, 2, CELLS, 3).mean((1, 3)), abs=1e-6)


def test_an_input_size_that_the_grid_does_not_divide_keeps_the_mass() -> None:
    grid = np.random.default_rng(1).random((7, 7), np.float32)
    cells = to_cells(grid[None], Drawing((7, 7), (65, 65), False))[0]
    assert cells.mean() == pytest.approx(draw(grid, (65, 65), False).mean(), rel=1e-5)


def test_masks_of_two_crops_are_laid_over_what_both_networks_saw() -> None:
    """The same spot of one photograph, seen whole and seen through a crop of its left half."""
    whole, crop = (0.0, 0.0, 100.0, 50.0), (0.0, 0.0, 50.0, 50.0)
    ((a, b, frame),) = frames(np.array([whole]), np.array([crop]))
    assert (a, b, frame) == (whole, crop, whole)
    even = np.ones((1, 7, 7), np.float32)
    cells = to_cells(even, Drawing((7, 7), (56, 56), False), b, frame)[0]
    assert cells[:, : CELLS // 2] == pytest.approx(1)
    assert not cells[:, CELLS // 2 :].any()


def test_the_highest_area_is_fifteen_percent_whatever_ties() -> None:
    random = np.random.default_rng(2)
    masks = np.stack([random.random((CELLS, CELLS)), np.ones((CELLS, CELLS)), np.eye(CELLS)]).astype(
        np.float32
    )
    weights = top_weights(masks)
    assert weights.sum((1, 2)) == pytest.approx(TOP_SHARE * CELLS**2, rel=1e-5)
    assert weights[1] == pytest.approx(TOP_SHARE)  # a uniform mask: all cells have equal weight
    assert (weights[2][np.eye(CELLS, dtype=bool)] == 1).all()


def test_the_primary_distance_is_one_minus_iou() -> None:
    random = np.random.default_rng(3)
    a, b = (random.random((20, CELLS, CELLS)).astype(np.float32) for _ in range(2))
    wanted = TOP_SHARE * CELLS**2
    for x, y, distance in zip(a, b, top_area(top_weights(a), top_weights(b)), strict=True):
        tops = [{int(i): 1.0 for i in np.argsort(-m.ravel())[:117]} for m in (x, y)]
        for top, m in zip(tops, (x, y), strict=True):  # the 118th cell has the rest of 15 % of the area
            top[int(np.argsort(-m.ravel())[117])] = wanted - 117
        every = set(tops[0]) | set(tops[1])
        shared, either = (sum(f(tops[0].get(i, 0.0), tops[1].get(i, 0.0)) for i in every) for f in (min, max))
        assert distance == pytest.approx(1 - shared / either, abs=1e-5)


def test_a_mask_is_at_distance_exactly_0_from_itself_and_1_from_another_place() -> None:
    top = top_weights(cells_of(blob(1, 1), blob(5, 5)))
    assert top_area(top, top).tolist() == [0.0, 0.0]
    assert top_area(top[:1], top[1:]).tolist() == [1.0]


def test_descriptive_distances_are_scipys() -> None:
    random = np.random.default_rng(4)
    a, b = (random.random((5, CELLS, CELLS)).astype(np.float32).round(1) for _ in range(2))
    for at in range(5):
        x, y = a[at].ravel().astype(np.float64), b[at].ravel().astype(np.float64)
        assert spearman(a, b)[at] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert jensen_shannon(a, b)[at] == pytest.approx(jensenshannon(x, y, base=2), abs=1e-6)


def test_a_mask_without_contrast_or_mass_has_no_number() -> None:
    even, none, spot = (
        np.ones((1, CELLS, CELLS), np.float32),
        np.zeros((1, CELLS, CELLS), np.float32),
        cells_of(blob(3, 3)),
    )
    assert np.isnan(spearman(even, spot)).all()
    assert np.isnan(jensen_shannon(none, spot)).all()
    assert np.isnan(centres(none)).all()


def test_the_centre_of_a_spot_is_where_it_is() -> None:
    grid = np.zeros((28, 28), np.float32)
    grid[7, 21] = 1
    x, y = centres(cells_of(grid))
    assert (x[0], y[0]) == (pytest.approx(21.5 / 28, abs=1e-3), pytest.approx(7.5 / 28, abs=1e-3))

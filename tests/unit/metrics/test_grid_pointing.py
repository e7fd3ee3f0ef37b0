"""The grid pointing game compared with the literal version, and the composition of grids."""

import pytest
import torch

from gfi.metrics.grid_pointing import choose, compose, grid_pointing
from tests.unit.metrics import literal


@pytest.mark.parametrize(("n", "size"), [(2, (12, 14)), (3, (16, 20)), (2, (7, 9))])
def test_grid_pointing_equals_the_literal_version(n, size):
    maps = torch.rand(n * n, 1, *size, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    score = grid_pointing(maps, n, torch.arange(n * n))
    for cell in range(n * n):
        share, hit = literal.grid_pointing(maps[cell, 0].numpy(), n, cell)
        assert float(score.share[cell]) == pytest.approx(share, abs=1e-12)
        assert bool(score.hit[cell]) == hit


def test_a_map_in_its_cell_scores_1_and_an_offset_changes_nothing():
    maps = torch.zeros(2, 1, 8, 8)
    maps[0, 0, 1, 6] = 1  # upper right: cell 1
    maps[1] = maps[0] / 2 + 0.5
    score = grid_pointing(maps, 2, torch.tensor([1, 1]))
    assert score.share.tolist() == [1.0, 1.0]
    assert score.hit.tolist() == [True, True]


def test_a_constant_map_scores_0_in_every_cell():
    score = grid_pointing(torch.full((4, 1, 6, 6), 0.7), 2, torch.arange(4))
    assert score.share.tolist() == [0.0] * 4
    assert not score.hit.any()


def test_a_grid_holds_its_images_in_raster_order():
    images = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 3, 2, 2)
    assert compose(images, 2)[0, 0, ::2, ::2].tolist() == [[0, 1], [2, 3]]
    assert compose(images, 2, (2, 2)).shape == (1, 3, 2, 2)


def test_grids_are_of_distinct_confident_classes_and_the_same_for_a_seed():
    predicted, confidence = [0, 0, 1, 2, 3, 4, 4], [0.95, 0.2, 0.99, 0.91, 0.93, 0.97, 0.94]
    grids = choose(predicted, confidence, 2, 20, seed=7)
    assert grids == choose(predicted, confidence, 2, 20, seed=7)
    for grid in grids:
        assert len({predicted[i] for i in grid}) == 4
        assert 1 not in grid
    with pytest.raises(ValueError, match="9 classes"):
        choose(predicted, confidence, 3, 1)

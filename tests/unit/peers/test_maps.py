"""A map is rectified and scaled image by image."""

import torch

from gfi.peers import unit
from gfi.peers.maps import at_input_size


def test_a_map_without_positive_evidence_is_all_zero():
    assert unit(-torch.rand(2, 1, 3, 3)).eq(0).all()
    assert unit(torch.zeros(1, 1, 2, 2)).isfinite().all()


def test_a_map_is_scaled_by_its_own_maximum_at_the_size_of_the_input():
    grid = torch.stack([torch.eye(2), 5 * torch.eye(2)])[:, None] - 0.5
    drawn = at_input_size(grid, torch.zeros(2, 3, 8, 6))
    assert drawn.shape == (2, 1, 8, 6)
    assert drawn.amax((1, 2, 3)).tolist() == [1.0, 1.0]
    assert drawn[:, 0, 0, -1].tolist() == [0.0, 0.0]

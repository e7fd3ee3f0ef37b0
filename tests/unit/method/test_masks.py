"""Maps, soft thresholds, and the kept and the removed part of an image."""

import pytest
import torch

from gfi.method import masks


def test_a_threshold_keeps_about_the_area_asked_for_and_its_edge_is_a_constant() -> None:
    grid = torch.randn(2, 14, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    upsample = masks.Upsampling.between(grid, grid, False)
    for area in (0.05, 0.25, 0.6):
        part = masks.soft_threshold(grid, upsample, torch.full((2,), area), 1e-3)
        assert part.mean((1, 2, 3)).tolist() == pytest.approx([round(area * 196) / 196] * 2, abs=1e-3)
    leaf = grid.clone().requires_grad_()
    masks.soft_threshold(leaf, upsample, torch.tensor([0.25, 0.25]), 0.2).sum().backward()
    assert (leaf.grad > 0).all()


def test_a_map_is_the_weighted_sum_of_channels() -> None:
    features = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    omega = torch.rand(2, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    wanted = sum(omega[:, i].view(2, 1, 1) * features[:, i] for i in range(6))
    torch.testing.assert_close(masks.combine(omega, features), wanted)


def test_the_kept_and_the_removed_part_are_complements() -> None:
    x, p, m = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(masks.blend(x, p, m), x * m + p * (1 - m))
    torch.testing.assert_close(masks.blend_background(x, p, m), x * (1 - m) + p * m)
    torch.testing.assert_close(masks.blend(x, p, m) + masks.blend_background(x, p, m), x + p)


def test_centred_channels_have_no_mean_and_unit_size_and_constant_ones_are_zero() -> None:
    features = torch.rand(2, 6, 3, 4, dtype=torch.float64)
    features[1] = 7.0
    phi = masks.centre(features)
    assert phi.mean((2, 3)).abs().max() < 1e-12
    assert phi[0].square().sum(0).mean().item() == pytest.approx(1)
    assert not phi[1].any()

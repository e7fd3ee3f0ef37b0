"""From a map to a mask, against the equations written in numpy for one image."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gfi.domain import geometry
from gfi.method.masks import Mask, Upsampling
from gfi.method.parts.normalisations import NORMALISATIONS

GRID, SIZE = (4, 5), (12, 10)


def literally(kind: str, g: np.ndarray) -> np.ndarray:
    """m, (H, W), from g, (h, w)."""
    rows, columns = (geometry.matrix(GRID[axis], SIZE[axis], False) for axis in (0, 1))

    def upsampled(values: np.ndarray) -> np.ndarray:
        return rows @ values @ columns.T

    if kind == "grid":
        return upsampled((g - g.min()) / (g.max() - g.min()))
    if kind == "image":
        return (upsampled(g) - upsampled(g).min()) / upsampled(g).max()
    return upsampled(np.maximum(g, 0) / g.max())


def normalised(kind: str, maps: Tensor) -> Mask:
    upsample = Upsampling.between(maps, torch.zeros(1, *SIZE, dtype=maps.dtype), align_corners=False)
    return NORMALISATIONS[kind]()(maps, upsample)


@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_a_mask_is_that_of_its_equation(kind: str) -> None:
    maps = torch.randn(3, *GRID, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = normalised(kind, maps)
    assert mask.valid.all()
    for row, g in enumerate(maps.numpy()):
        np.testing.assert_allclose(mask.image[row, 0], literally(kind, g), atol=1e-12)
        drawn = geometry.draw(mask.grid[row].numpy(), SIZE, align_corners=False)
        np.testing.assert_allclose(drawn, mask.image[row, 0], atol=1e-6)


@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_a_map_without_contrast_or_with_a_nan_has_no_mask_and_no_nan_in_its_gradient(kind: str) -> None:
    maps = torch.rand(3, *GRID, dtype=torch.float64) + 0.1
    maps[1] = 0.0
    leaf = maps.clone().requires_grad_()
    mask = normalised(kind, leaf)
    assert mask.valid.tolist() == [True, False, True]
    mask.image.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    maps[2, 0, 0] = torch.nan
    assert normalised(kind, maps).valid.tolist() == [True, False, False]

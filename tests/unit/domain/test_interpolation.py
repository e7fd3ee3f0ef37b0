"""Drawing a grid as a product with two matrices, against torch's own interpolation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gfi.domain import interpolation


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(
    ("grid", "size"), [((7, 7), (224, 224)), ((14, 9), (37, 61)), ((1, 5), (8, 5)), ((6, 6), (3, 1))]
)
def test_drawing_a_grid_is_bilinear_interpolation(grid: tuple, size: tuple, corners: bool) -> None:
    m = torch.rand(1, 1, *grid, dtype=torch.float64)
    wanted = F.interpolate(m, size, mode="bilinear", align_corners=corners)[0, 0]
    rows = interpolation.matrix(grid[0], size[0], corners)
    columns = interpolation.matrix(grid[1], size[1], corners)
    np.testing.assert_allclose(rows @ m[0, 0].numpy() @ columns.T, wanted, atol=1e-12)
    drawn = interpolation.draw(m[0, 0].float().numpy(), size, corners)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, wanted, atol=1e-6)

"""Adam per row, compared with torch's Adam."""

import numpy as np
import torch

from gfi.domain.presets import PAPER
from gfi.method.parts.adam import Adam


def test_adam_is_torchs_adam_and_each_row_has_its_own_step() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(25, 2, 6, generator=generator, dtype=torch.float64)
    omega = torch.full((2, 6), 0.1, dtype=torch.float64)
    adam = Adam(PAPER, omega, omega, omega)
    twin = torch.full((6,), 0.1, dtype=torch.float64, requires_grad=True)
    wanted = torch.optim.Adam([twin], lr=0.01)
    for t, gradient in enumerate(gradients):
        # The second row began seven steps ago: the first does not notice.
        omega = adam.update(omega, gradient, torch.tensor([t, t + 7]), halving=True)
        wanted.param_groups[0]["lr"] = 0.01 * 0.5 ** (t // 10)
        twin.grad = gradient[0].clone()
        wanted.step()
        np.testing.assert_allclose(omega[0], twin.detach(), atol=1e-14)

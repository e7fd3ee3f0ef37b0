"""The losses, each against its equation written for one image."""

import pytest
import torch
from torch import Tensor

from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion
from gfi.method.parts.objectives import ClassProbabilityLoss, FeatureInversionLoss, LogContrastLoss
from tests.unit.method import literal, literal_tuned
from tests.unit.method.networks import Small, smooth_images


def started(chosen: Recipe) -> tuple[Small, Inversion, Tensor, Tensor, Tensor]:
    """A float64 network, two rows, and random weights ω, images and fills."""
    net = Small().double()
    engine = Engine(classifiers.from_module(net, (48, 48)), chosen, batch=2, dtype=torch.float64)
    rows = Inversion(engine.network, chosen, 2)
    x, p = smooth_images(2, 48), smooth_images(2, 48, seed=5)
    rows.start(x, p, [1, 3], None if chosen.second_fill == "none" else torch.zeros_like(x))
    generator = torch.Generator().manual_seed(0)
    omega = torch.rand(rows.omega.shape, generator=generator, dtype=torch.float64)
    return net, rows, omega, x, p


@pytest.mark.parametrize("relative", [False, True])
def test_the_loss_of_stage_1_is_equation_8(relative: bool) -> None:
    chosen = recipe("paper", gamma=0.3, relative_inversion=relative)
    net, rows, omega, x, p = started(chosen)
    losses = FeatureInversionLoss(chosen)(rows, omega, rows.mask(omega))
    for row in range(2):
        m = rows.mask(omega).image[row : row + 1]
        phi = x[row : row + 1] * m + p[row : row + 1] * (1 - m)
        f, f_x = (
            literal.features(net, rows.network.layers.inverted, image) for image in (phi, x[row : row + 1])
        )
        error = ((f - f_x) ** 2).sum() / ((f_x**2).sum() if relative else 1)
        assert losses[row].item() == pytest.approx((error + 0.3 * omega[row].abs().sum()).item(), rel=1e-10)


@pytest.mark.parametrize("penalty", ["l1", "squares"])
def test_the_loss_of_stage_2_is_equation_9(penalty: str) -> None:
    chosen = recipe("paper", lambda_=0.7, delta=0.2, penalty=penalty)
    net, rows, omega, x, p = started(chosen)
    rows.skip_to(chosen.steps_inversion)
    losses = ClassProbabilityLoss(chosen)(rows, omega, rows.mask(omega))
    for row, c in enumerate((1, 3)):
        m, one = rows.mask(omega).image[row : row + 1], slice(row, row + 1)
        f_c = net(x[one] * m + p[one] * (1 - m)).softmax(1)[0, c]
        f_c_bg = net(x[one] * (1 - m) + p[one] * m).softmax(1)[0, c]
        size = omega[row].abs().sum() if penalty == "l1" else (omega[row] ** 2).sum()
        assert losses[row].item() == pytest.approx((-f_c + 0.7 * f_c_bg + 0.2 * size).item(), rel=1e-10)


@pytest.mark.parametrize(
    ("bank", "step"), [("none", i) for i in range(4)] + [("leaves", i) for i in range(6)]
)
def test_the_contrast_takes_every_pair_of_level_and_fill_in_turn(bank: str, step: int) -> None:
    chosen = recipe("tuned", lambda_=0.7, levels=[0.1, 0.5], bank=bank, steps_class=12, check_every=0)
    net, rows, omega, x, p = started(chosen)
    rows.skip_to(step)
    losses = LogContrastLoss(chosen)(rows, omega, rows.mask(omega))
    level, turn = divmod(step, 3 if bank == "leaves" else 2)
    leaf = rows.network.leaves[level].expand_as(p)
    area, fills = (0.1, 0.5)[level], (p, torch.zeros_like(p), leaf)[turn]
    for row, c in enumerate((1, 3)):
        one = slice(row, row + 1)
        m = literal_tuned.soft_part(rows.map(omega)[row], area, chosen, (48, 48))
        f_c_x = net(x[one]).softmax(1)[0, c]
        f_c = net(x[one] * m + fills[one] * (1 - m)).softmax(1)[0, c]
        f_c_bg = net(x[one] * (1 - m) + fills[one] * m).softmax(1)[0, c]
        wanted = 0.7 * torch.log(f_c_bg + 0.1 * f_c_x) - torch.log(f_c + 0.1 * f_c_x)
        assert losses[row].item() == pytest.approx(wanted.item(), rel=1e-9)

"""Foils: with a foil B the share f_A/(f_A + f_B) replaces the probability of A; other rows do not change."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gfi import GuidedFeatureInversion
from gfi.domain.errors import MethodError
from gfi.domain.explanation import Explanation
from gfi.domain.layer_names import Layers
from gfi.domain.presets import recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion
from gfi.method.item import Item
from gfi.method.network import Network
from gfi.method.preprocess import Prepared
from tests.unit.method.networks import Small, smooth_images

PAPER = recipe("paper", steps_inversion=3, steps_class=6)


TUNED = recipe("tuned", levels=[0.15, 0.5], steps_class=16, check_every=4, settled=0.05)


def explain(
    images: Tensor, rather_than: list[int | None], preset: str, batch: int, target: int | None = 1
) -> list[Explanation]:
    engine = Engine(
        classifiers.from_module(Small(), (32, 32)), PAPER if preset == "paper" else TUNED, batch=batch
    )
    items = [
        Item(i, Prepared(image, None, (32, 32), (0, 0, 32, 32)), target, b)
        for i, (image, b) in enumerate(zip(images, rather_than, strict=True))
    ]
    return sorted(engine.explain_many(items), key=lambda e: e.index)


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_rows_without_a_foil_keep_their_bits_next_to_rows_with_one_in_any_slot(preset: str) -> None:
    images = smooth_images(9, 32).float()
    plain = explain(images, [None] * 9, preset, batch=4)
    mixed = explain(images, [None, 2, 3, None, 0, None, 2, 4, None], preset, batch=4)
    for i, explanation in enumerate(mixed):
        if explanation.foil is None:
            assert explanation.grid.tobytes() == plain[i].grid.tobytes()
            assert (explanation.probability, explanation.kept, explanation.loss) == (
                plain[i].probability,
                plain[i].kept,
                plain[i].loss,
            )
        else:
            (alone,) = explain(images[i : i + 1], [explanation.foil], preset, batch=4)
            assert explanation.grid.tobytes() == alone.grid.tobytes()
            assert np.abs(explanation.grid - plain[i].grid).max() > 1e-3


def test_the_loss_of_a_row_with_a_foil_is_equation_9_of_the_share() -> None:
    net = Small().double()
    network = Network(
        classifiers.from_module(net, (32, 32)),
        Layers.parse("pool,act"),
        torch.device("cpu"),
        torch.float64,
        False,
    )
    run = Inversion(network, recipe("paper", steps_inversion=0, delta=0.5), batch=2)
    x = smooth_images(2, 32)
    run.start(x, torch.zeros_like(x), [1, 1], foils=[None, 3])
    weights = torch.rand((2, 11), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    run.omega = weights
    run.step()
    for row, foil in enumerate((None, 3)):
        omega = weights[row].clone().requires_grad_()
        features = net.act(net.body(torch.relu(net.stem(x[row : row + 1]))))[0]
        grid = (omega.view(-1, 1, 1) * features).sum(0)
        grid = (grid - grid.min()) / (grid.max() - grid.min())
        mask = F.interpolate(grid[None, None], (32, 32), mode="bilinear", align_corners=False)

        def f_c(image: Tensor, foil: int | None = foil) -> Tensor:
            f = net(image).softmax(1)[0]
            return f[1] if foil is None else f[1] / (f[1] + f[foil])

        loss = -f_c(x[row : row + 1] * mask) + f_c(x[row : row + 1] * (1 - mask)) + 0.5 * omega.abs().sum()
        (gradient,) = torch.autograd.grad(loss, omega)
        assert run.loss[row].item() == pytest.approx(loss.item(), abs=1e-12)
        assert torch.allclose(run.gradient[row], gradient, atol=1e-12)
        assert run.probability[row].item() == pytest.approx(f_c(x[row : row + 1]).item(), abs=1e-12)


def test_a_foil_that_is_the_target_or_no_class_is_refused() -> None:
    explainer = GuidedFeatureInversion(Small(), preset=PAPER)
    images = smooth_images(2, 32)
    with pytest.raises(MethodError, match="image 1: the target and the class to contrast it with are both 2"):
        explainer.attribute(images, [1, 2], rather_than=2)
    with pytest.raises(
        MethodError, match=r"image 0: foil \(`rather_than`\) 5 is not a class; classes are 0 to 4"
    ):
        explainer.attribute(images, 1, rather_than=5)


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_an_image_predicted_as_the_foil_is_constant(preset: str) -> None:
    images = smooth_images(1, 32).float()
    (plain,) = explain(images, [None], preset, batch=2, target=None)
    (explanation,) = explain(images, [plain.prediction], preset, batch=2, target=None)
    assert explanation.status == "constant"
    assert not explanation.grid.any()


def test_rather_than_is_another_name_of_the_foil() -> None:
    explainer = GuidedFeatureInversion(Small(), preset=PAPER)
    images = smooth_images(2, 32)
    masks = explainer.attribute(images, 1, foil=[0, 2])
    assert torch.equal(masks, explainer.attribute(images, 1, rather_than=[0, 2]))
    assert not torch.equal(masks, explainer.attribute(images, 1))
    with pytest.raises(MethodError, match="another name of `foil`"):
        explainer.attribute(images, 1, foil=0, rather_than=0)
    with pytest.raises(MethodError, match="3 foils for 2 images"):
        explainer.attribute(images, 1, foil=[0, 2, 3])

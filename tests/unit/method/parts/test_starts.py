"""Where the optimisation starts: uniform weights, or Grad-CAM's map."""

import torch
from torch import Tensor

from gfi import peers
from gfi.domain.presets import recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.networks import Small, small_inversion, smooth_images


def test_without_a_step_the_mask_is_grad_cams() -> None:
    inversion, images, _ = small_inversion(recipe("tuned", steps_class=0))
    mask = inversion.mask(inversion.omega).image

    class MapRelativeDescent(Small):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y - y.mean(1, keepdim=True)

    wanted = peers.explain("grad-cam", MapRelativeDescent(), images, inversion.target, layer="pool")
    assert tuple(inversion.features.shape[2:]) == (24, 24)
    # Grad-CAM rectifies on its own grid, this program on the finer one: equal if no cell is clipped.
    assert (mask - wanted).abs().mean() < 0.05


def test_a_class_without_positive_evidence_has_a_mask_too() -> None:
    net = Small()
    net.head.weight.data[4] = -net.head.weight.data.abs().max()
    classifier = classifiers.from_module(net, (48, 48))
    images = smooth_images(1, 48).float()
    chosen = recipe("tuned", check_every=0)
    engine = Engine(classifier, chosen, batch=2)
    assert engine.network.grad_cam(images, torch.tensor([4])).max() <= 0
    item = Item(0, Prepared(images[0], None, (48, 48), (0, 0, 48, 48)), 4)
    (explanation,) = engine.explain_many([item])
    assert explanation.iterations == chosen.steps
    assert explanation.grid.max() == 1


def test_if_the_features_are_all_zero_the_mask_is_empty() -> None:
    net = Small()
    net.body.weight.data.zero_()
    net.body.bias.data.zero_()
    engine = Engine(classifiers.from_module(net, (48, 48)), recipe("tuned"), batch=2)
    (explanation,) = engine.explain_many(
        [Item(0, Prepared(smooth_images(1, 48)[0].float(), None, (48, 48), (0, 0, 48, 48)))]
    )
    assert explanation.status == "empty"
    assert explanation.iterations == 0
    assert not explanation.grid.any()

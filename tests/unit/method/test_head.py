"""Pooled features: the input of the last linear layer, the same bits in every slot, and no pass of their own."""

import numpy as np
import pytest
import torch
from torch import nn

from gfi.domain.presets import recipe
from gfi.method.classifiers import Classifier, from_module, load
from gfi.method.engine import Engine
from gfi.method.head import head_of, head_weights, head_width
from gfi.method.item import Item
from gfi.method.preprocess import Prepared


def small(*head: nn.Module) -> Classifier:
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return from_module(nn.Sequential(*body, *head), (32, 32))


def items(count: int) -> list[Item]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((count, 3, 32, 32), generator=generator)
    return [Item(i, Prepared(x, None, (32, 32), (0, 0, 32, 32)), 1) for i, x in enumerate(images)]


def test_the_head_is_the_last_linear_layer_with_an_output_for_each_class() -> None:
    two = small(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5), nn.Softmax(1))
    assert (head_of(two), head_width(two)) == ("6", 16)
    weights = head_weights(two)
    assert weights is not None
    images = torch.rand((3, 3, 32, 32))
    features = two.module[:6](images).detach().numpy()
    expected = two.module[:7](images).detach().numpy()
    np.testing.assert_allclose(weights.logits(features), expected, rtol=1e-5, atol=1e-6)
    none = load("torchvision:squeezenet1_1@seed:0")
    assert (head_of(none), head_width(none), head_weights(none)) == (None, None, None)


def test_features_are_those_of_the_image_in_every_slot_and_after_moving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classifier = small(nn.Linear(8, 5))
    engine = Engine(classifier, recipe("tuned", steps_class=16), batch=2)
    passes: list[int] = []
    real = engine.network.examine
    monkeypatch.setattr(engine.network, "examine", lambda *given: passes.append(1) or real(*given))
    among = {x.key: x.pooled for x in engine.explain_many(items(5))}
    assert len(passes) == 3, "one for each batch, as without features"
    for item in items(5):
        (alone,) = engine.explain_many([item])
        assert alone.pooled is not None
        np.testing.assert_array_equal(alone.pooled, among[item.key])
        body = classifier.module[:4](item.prepared.image[None])[0]
        np.testing.assert_allclose(alone.pooled, body.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_network_without_a_linear_layer_has_no_features() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    engine = Engine(from_module(net, (32, 32)), recipe("paper", steps_class=2), batch=1)
    (explanation,) = engine.explain_many(items(1))
    assert explanation.pooled is None

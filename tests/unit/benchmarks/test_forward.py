"""OpenVINO computes the scores only where its probabilities are those of torch."""

import importlib.util

import pytest
import torch
from torch import nn

from benchmarks import forward
from gfi.method.classifiers import Classifier, from_module


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return from_module(net, (16, 16))


@pytest.mark.parametrize(("error", "name"), [(1e-6, "openvino"), (1e-2, "torch")])
def test_the_faster_runtime_is_used_only_if_it_agrees(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, error: float, name: str
) -> None:
    class Fast(forward.Forward):
        def __init__(self, classifier: Classifier) -> None:
            super().__init__(classifier)
            self.runtime = "openvino 1"

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return super().__call__(images) + error

    monkeypatch.setattr(forward, "OpenVino", Fast)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert forward.forward(classifier).runtime.startswith(name)


def test_probabilities_are_the_network_s_own(classifier: Classifier) -> None:
    images = torch.randn(3, 3, 16, 16)
    plain = forward.Forward(classifier)(images)
    torch.testing.assert_close(plain, classifier.module(images).softmax(1))
    assert plain.shape == (3, 5)

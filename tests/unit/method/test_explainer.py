"""Guided feature inversion as a function of tensors, and of a stream of photographs."""

import numpy as np
import pytest
import torch

from gfi import GuidedFeatureInversion, explain_many
from gfi.domain.errors import MethodError
from gfi.domain.presets import recipe
from gfi.method import classifiers
from tests.unit.method.networks import Small, smooth_images

QUICK = recipe("paper", steps_inversion=2, steps_class=3)


def test_attribute_follows_dtype_targets_and_baselines_and_leaves_the_network_alone() -> None:
    net = Small().train().requires_grad_(True)
    explainer = GuidedFeatureInversion(net, preset=QUICK)
    images = smooth_images(2, 32)
    masks = explainer.attribute(images, target=1)
    assert masks.dtype == torch.float64
    assert masks.shape == (2, 1, 32, 32)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert net.training
    assert all(p.requires_grad for p in net.parameters())

    given = explainer.explain(images, 1, baselines=torch.zeros(1, 3, 1, 1))
    assert [e.fill for e in given] == ["given", "given"]
    blurred = GuidedFeatureInversion(net, preset="released").explain(images[:1], [1])
    assert blurred[0].fill == "input blurred"  # the blur of `released` needs the photograph

    with pytest.raises(MethodError, match="3 targets for 2 images"):
        explainer.attribute(images, [1, 2, 3])
    with pytest.raises(MethodError, match=r"baselines .* do not fit inputs"):
        explainer.attribute(images, 1, baselines=torch.zeros(3, 3, 5, 5))
    with pytest.raises(MethodError, match="normalised images"):
        explainer.attribute(images[0], 1)


def test_photographs_stream_through_one_function() -> None:
    photographs = (np.random.default_rng(i).integers(0, 255, (40, 50, 3), np.uint8) for i in range(3))
    classifier = classifiers.from_module(Small(), (32, 32))
    explanations = list(explain_many(photographs, classifier, QUICK, target=2, batch=2))
    assert [(e.index, e.target) for e in explanations] == [(0, 2), (1, 2), (2, 2)]

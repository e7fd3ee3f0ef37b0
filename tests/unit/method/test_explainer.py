"""Guided feature inversion as a function of tensors, and of a stream of photographs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gfi import GuidedFeatureInversion, explain_many
from gfi.domain.errors import MethodError
from gfi.domain.presets import recipe
from gfi.method import classifiers
from gfi.method.explainer import StatusWarning
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


@pytest.mark.parametrize("baselines", [0.25, np.float32(0.25), np.full((2, 3, 32, 32), 0.25)])
def test_baselines_are_a_number_or_an_array_too(baselines: object) -> None:
    explainer, images = GuidedFeatureInversion(Small(), preset=QUICK), smooth_images(2, 32)
    wanted = explainer.attribute(images, 1, baselines=torch.full((1, 3, 1, 1), 0.25))
    assert torch.equal(explainer.attribute(images, 1, baselines=baselines), wanted)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("baselines", "said"),
    [
        ("blur", "a tensor or a numpy array, or a number, not 'blur'"),
        (True, "or a number, not True"),
        (np.nan, "baselines are finite numbers"),
        (torch.full((1, 3, 1, 1), torch.inf), "baselines are finite numbers"),
    ],
)
def test_what_is_no_baseline_is_named(baselines: object, said: str) -> None:
    with pytest.raises(MethodError, match=said):
        GuidedFeatureInversion(Small(), preset=QUICK).attribute(smooth_images(2, 32), 1, baselines=baselines)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"output": "logits"}, "output is one of softmax, sigmoid, probabilities, not 'logits'"),
        ({"device": "gpu"}, "`gpu` is not a device"),
        ({"batch": 2.5}, "at least one image, a whole number of them, not 2.5"),
        ({"batch": 0}, "a whole number of them, not 0"),
        ({"preset": 3}, "a preset is a name, such as tuned, or a Recipe, not 3"),
    ],
)
def test_a_wrong_option_is_named(given: dict, said: str) -> None:
    with pytest.raises(MethodError, match=said):
        GuidedFeatureInversion(Small(), **{"preset": QUICK, **given}).attribute(smooth_images(1, 32), 1)


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(MethodError, match=r"a torch module or a classifier of `gfi\.load`, not a str"):
        GuidedFeatureInversion("efficientnet-lite0")  # type: ignore[arg-type]


def test_images_that_are_not_finite_say_so_and_leave_their_neighbours_alone() -> None:
    images = smooth_images(3, 32)
    images[1, 0, 4, 4] = torch.nan
    images[2] = torch.inf
    explainer = GuidedFeatureInversion(Small(), preset=QUICK, batch=4)
    explained = explainer.explain(images, 1)
    assert [e.status for e in explained][1:] == ["nonfinite", "nonfinite"]
    assert not np.any([e.mask for e in explained[1:]])
    alone = explainer.explain(images[:1], 1)[0]
    assert np.array_equal(explained[0].grid, alone.grid)
    assert explained[0].status == alone.status


def test_photographs_stream_through_one_function() -> None:
    photographs = (np.random.default_rng(i).integers(0, 255, (40, 50, 3), np.uint8) for i in range(3))
    classifier = classifiers.from_module(Small(), (32, 32))
    explanations = list(explain_many(photographs, classifier, QUICK, target=2, batch=2))
    assert [(e.index, e.target) for e in explanations] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": "jay"}, "target 'jay' is not a class: give its number"),
        ({"target": 2.0}, "target 2.0 is not a class"),
        ({"foil": True}, "foil True is not a class"),
        ({"photographs": [Image.new("RGB", (50, 40))]}, r"not a Image; of Pillow's pictures numpy\.asarray"),
        ({"photographs": np.zeros((40, 50, 3), np.uint8)}, r"of uint8, not \(50, 3\) of uint8"),
        (
            {"classifier": Small()},
            r"not a Small; for a network in memory: gfi\.method\.classifiers\.from_module",
        ),
    ],
)
def test_a_wrong_argument_for_a_stream_is_named(given: dict, said: str) -> None:
    arguments = {"classifier": classifiers.from_module(Small(), (32, 32)), "preset": QUICK, **given}
    photographs = arguments.pop("photographs", [np.zeros((40, 50, 3), np.uint8)])
    with pytest.raises(MethodError, match=said):
        list(explain_many(photographs, **arguments))


def test_arrays_come_back_as_arrays_and_progress_is_told() -> None:
    explainer = GuidedFeatureInversion(Small(), preset=QUICK, device="cpu")
    images = smooth_images(2, 32).numpy()
    steps: list[int] = []
    masks = explainer.attribute(images, np.array([1, 2]), progress=lambda at: steps.append(at.step))
    assert isinstance(masks, np.ndarray)
    assert (masks.shape, masks.dtype) == ((2, 1, 32, 32), np.float64)
    assert steps == [1, 2, 3, 4, 5]
    assert np.array_equal(masks, explainer.attribute(torch.from_numpy(images), [1, np.int64(2)]).numpy())
    assert explainer.layers_for(images) == explainer.engine(torch.from_numpy(images)).layers


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (1.5, "target 1.5 is not a class: give its number from 0"),
        (True, "target True is not a class"),
        ("cat", "target 'cat' is not a class"),
        ("jay", "target 'jay': a class is given by its number; jay is 1"),
        (torch.tensor([1.0, 2.0]), "target 1.0 is not a class"),
        ([1, None], "target None is not a class"),
        (99, "target 99 is not a class; classes are 0 to"),
    ],
)
def test_what_is_no_class_is_named(target: object, said: str) -> None:
    classifier = replace(
        classifiers.from_module(Small(), (32, 32)), class_names=("owl", "jay", "c", "d", "e")
    )
    with pytest.raises(MethodError, match=said):
        GuidedFeatureInversion(classifier, preset=QUICK).attribute(smooth_images(2, 32).float(), target)  # type: ignore[arg-type]


def test_other_inputs_than_normalised_images_are_named() -> None:
    explainer = GuidedFeatureInversion(Small(), preset=QUICK)
    with pytest.raises(MethodError, match=r"of uint8; gfi\.explain_many takes photographs"):
        explainer.attribute(np.zeros((1, 3, 32, 32), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="a tensor or a numpy array, not list"):
        explainer.attribute([[1.0]])  # type: ignore[call-overload]


def test_masks_that_are_not_ok_are_warned_of_with_their_images() -> None:
    net, images = Small(), smooth_images(2, 32)
    predicted = net.double()(images).argmax(1)
    with pytest.warns(StatusWarning, match=r"2 of 2 masks are not `ok` \(constant: 0, 1\)"):
        GuidedFeatureInversion(net, preset=QUICK).attribute(images, foil=predicted)


def test_it_is_an_attribution_of_captum() -> None:
    from captum.attr import Attribution, NoiseTunnel

    net, images = Small(), smooth_images(1, 32)
    explainer = GuidedFeatureInversion(net, preset=QUICK)
    assert isinstance(explainer, Attribution)
    assert explainer.forward_func is net
    smoothed = NoiseTunnel(explainer).attribute(images, nt_type="smoothgrad", nt_samples=2, target=1)
    assert smoothed.shape == (1, 1, 32, 32)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_network_with_weight_norm_is_explained() -> None:
    torch.manual_seed(0)
    old = nn.utils.weight_norm(nn.Conv2d(3, 8, 3, 2, 1))
    new = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3, 1, 1))
    net = nn.Sequential(
        old, nn.ReLU(), new, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    net(torch.rand(1, 3, 32, 32))  # keeps a computed weight, which cannot be copied as it is
    masks = GuidedFeatureInversion(net, preset=QUICK).attribute(smooth_images(1, 32).float(), 1)
    assert masks.isfinite().all()

"""The peers as engines: the same masks as the functions of `gfi.peers`, bit-equal in every slot of a batch."""

import threading

import numpy as np
import pytest
import torch

from gfi import peers
from gfi.domain import geometry
from gfi.domain.errors import MethodError, Stopped
from gfi.domain.methods import PEERS, passes, peer_recipe
from gfi.domain.presets import PAPER
from gfi.method.classifiers import from_module
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.peers.peer_engine import PeerEngine, make_engine

SIZE = (28, 28)
QUICK = {
    "rise": {"rise_masks": 12},
    "opti-cam": {"opti_steps": 5},
    "integrated-gradients": {"path_steps": 4},
    "occlusion": {"occlusion_cells": 7},
}


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 12, 3, 1, 1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 5),
    )
    return from_module(net, SIZE)


def prepared(count, dtype=torch.float32):
    draw = torch.Generator().manual_seed(7)
    images = torch.randn(count, 3, *SIZE, generator=draw, dtype=torch.float64).to(dtype)
    return [Prepared(image, None, SIZE, (0.0, 0.0, 28.0, 28.0)) for image in images]


def engine(classifier, method, batch=4, dtype=torch.float32, **fields):
    return make_engine(
        classifier, peer_recipe(method, **{**QUICK.get(method, {}), **fields}), batch=batch, dtype=dtype
    )


@pytest.mark.parametrize("method", PEERS)
def test_a_mask_has_the_same_bits_alone_among_others_and_in_another_slot(classifier, method):
    images = prepared(6)
    own = engine(classifier, method)
    together = {e.key: e for e in own.explain_many(Item(i, x) for i, x in enumerate(images))}
    assert len(together) == 6
    for i in (1, 5):
        (alone,) = own.explain_many([Item(i, images[i])])
        last = list(own.explain_many([Item(8, images[0]), Item(9, images[2]), Item(i, images[i])]))[-1]
        for other in (alone, last):
            assert np.array_equal(other.grid, together[i].grid)
            same = ("target", "probability", "kept", "removed", "status", "iterations", "area")
            assert [getattr(other, name) for name in same] == [getattr(together[i], name) for name in same]
    assert all(e.grid.min() >= 0 and e.grid.max() <= 1 for e in together.values())


@pytest.mark.parametrize(
    ("method", "fields", "options"),
    [
        ("grad-cam", {}, {"layer": "3"}),
        ("occlusion", {"occlusion_cells": 7, "occlusion_window": 2}, {"window": 8, "stride": 4}),
        ("rise", {"rise_masks": 20, "map_cells": 28}, {"masks": 20}),
        ("integrated-gradients", {"path_steps": 400, "map_cells": 28}, {"steps": 100}),
    ],
)
def test_the_masks_are_those_of_the_functions(classifier, method, fields, options):
    images = prepared(3, torch.float64)
    stacked = torch.stack([x.image for x in images])
    own = engine(classifier, method, dtype=torch.float64, **fields)
    found = list(own.explain_many(Item(i, x, target=i) for i, x in enumerate(images)))
    module = own.network.module
    expected = peers.explain(method, module, stacked, torch.arange(3), **options)[:, 0].numpy()
    drawn = np.stack([geometry.draw(e.grid, SIZE, False) for e in found])
    if method == "occlusion":  # the function's map has a value per pixel, ours one per cell
        drawn = np.stack([e.grid.repeat(4, 0).repeat(4, 1) for e in found])
    if method == "grad-cam":  # the function divides by the maximum after up-sampling
        drawn = drawn / drawn.max((1, 2), keepdims=True)
    if method == "integrated-gradients":  # other points on a path with kinks
        assert np.abs(drawn - expected).mean() < 1e-3
        assert np.abs(drawn - expected).max() < 2e-2
        return
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


@pytest.mark.parametrize("method", PEERS)
def test_a_foil_changes_the_mask_and_one_that_is_the_target_leaves_none(classifier, method):
    (image,) = prepared(1)
    own = engine(classifier, method)
    (plain,) = own.explain_many([Item(0, image)])
    foil = (plain.target + 1) % 5
    (contrast,) = own.explain_many([Item(0, image, foil=foil)])
    assert contrast.probability > plain.probability
    assert not np.array_equal(contrast.grid, plain.grid)
    (constant,) = own.explain_many([Item(0, image, foil=plain.target)])
    assert constant.status == "constant"
    assert constant.area == 0


def test_progress_counts_passes_and_a_stop_ends_within_one(classifier):
    own, stop, seen = engine(classifier, "rise"), threading.Event(), []

    def progress(at):
        seen.append(at)
        if at.step == 5:
            stop.set()

    with pytest.raises(Stopped):
        list(own.explain_many([Item("a", prepared(1)[0])], progress, stop))
    assert [at.step for at in seen] == [1, 2, 3, 4, 5]
    assert seen[0].in_flight == ("a",)


@pytest.mark.parametrize("method", PEERS)
def test_the_network_runs_as_often_as_is_said_before(classifier, method, monkeypatch):
    own = engine(classifier, method, batch=1)
    calls = []
    own.network.module.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    list(own.explain_many([Item(0, prepared(1)[0])]))
    assert sum(calls) == passes(own.recipe).forward


def test_an_image_that_is_not_finite_is_marked_and_leaves_the_others_alone(classifier):
    good, bad = prepared(2)
    bad.image[0, 3, 3] = float("nan")
    own = engine(classifier, "integrated-gradients")
    marked, other = own.explain_many([Item(0, bad), Item(1, good)])
    assert marked.status == "nonfinite"
    assert np.array_equal(other.grid, next(iter(own.explain_many([Item(1, good)]))).grid)


def test_a_recipe_makes_the_engine_of_its_method(classifier):
    assert type(make_engine(classifier, PAPER, batch=1)) is Engine
    assert isinstance(engine(classifier, "grad-cam", batch=None), PeerEngine)
    with pytest.raises(MethodError, match="image 3 is"):
        list(
            engine(classifier, "rise").explain_many(
                [Item(3, Prepared(torch.zeros(3, 5, 5), None, (5, 5), (0, 0, 5, 5)))]
            )
        )

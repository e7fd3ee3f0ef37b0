"""The preset `tuned`, against its literal version."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gfi import samples
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.fills import blur
from gfi.method.inversion import Inversion, StopReason
from gfi.method.leaves import leaves
from tests.unit.method import literal, literal_tuned
from tests.unit.method.networks import sample_at, seeded, smooth_images

BANK = {"bank": "leaves", "levels": [0.15, 0.5], "halve_every": 6, "check_every": 6}
CASES = [
    ("alexnet", 96, {"steps_class": 8}),
    ("resnet18", 40, {"steps_class": 24}),
    ("resnet18", 40, {"steps_class": 18} | BANK),
    ("efficientnet-lite0", 96, {"steps_class": 8}),
]


@dataclass
class Case:
    classifier: Classifier
    recipe: Recipe
    images: Tensor
    fills: Tensor
    second: Tensor
    run: literal_tuned.Run


@pytest.fixture(scope="module", params=CASES, ids=lambda c: c[0] + ("-bank" if "bank" in c[2] else ""))
def case(request: pytest.FixtureRequest) -> Case:
    name, pixels, changes = request.param
    chosen = recipe("tuned", **changes)
    if name == "efficientnet-lite0":
        classifier = sample_at(96)
        photograph = np.asarray(Image.open(samples.path() / "cat.jpg").convert("RGB"))
        images = classifier.prepare(photograph, chosen).image.double()[None].repeat(2, 1, 1, 1)
        images[1] = images[1].flip(2)
        net = sample_at(96).module.double()
    else:
        net = seeded(name)
        classifier = classifiers.from_module(net, (pixels, pixels))
        images = smooth_images(2, pixels)
    fills = torch.stack([blur(x) for x in images])
    mean = torch.tensor(classifier.preprocess.mean).double()
    std = torch.tensor(classifier.preprocess.std).double()
    second = ((torch.tensor([0.485, 0.456, 0.406]).double() - mean) / std).view(1, 3, 1, 1).expand_as(images)
    layers = classifier.layers_for(chosen)
    assert len(layers.mask_layers) == 2
    run = literal_tuned.explain(
        net,
        images[:1],
        (literal.blurred(images[:1]), second[:1]),
        layers.inverted,
        layers.mask_layers,
        chosen,
        bank=leaves(classifier.preprocess) if chosen.bank == "leaves" else None,
    )
    return Case(classifier, chosen, images, fills, second, run)


def test_in_float64_every_step_equals_the_literal_version_to_1e_8(case: Case) -> None:
    engine = Engine(case.classifier, case.recipe, batch=2, dtype=torch.float64)
    inversion = Inversion(engine.network, case.recipe, 2)
    inversion.start(case.images, case.fills, [None, None], case.second)
    np.testing.assert_allclose(inversion.base[0], case.run.prior, atol=1e-8, rtol=0)
    np.testing.assert_allclose(inversion.features[0], case.run.phi, atol=1e-8, rtol=0)
    for step in case.run.steps:
        np.testing.assert_allclose(inversion.omega[0], step.omega, atol=1e-8, rtol=0)
        np.testing.assert_allclose(inversion.map(inversion.omega)[0], step.grid, atol=1e-8, rtol=0)
        inversion.step()
        assert inversion.loss[0].item() == pytest.approx(step.loss, abs=1e-8, rel=1e-8)
        np.testing.assert_allclose(inversion.gradient[0], step.gradient, atol=1e-8, rtol=1e-8)
    outcome = inversion.outcome()
    assert outcome.stop_reason[0] == StopReason.FINISHED
    assert outcome.iterations[0] == case.recipe.steps
    np.testing.assert_allclose(outcome.omega[0], case.run.omega, atol=1e-8, rtol=0)
    np.testing.assert_allclose(inversion.mask(inversion.omega).image[0], case.run.mask[0], atol=1e-8, rtol=0)
    assert outcome.kept[0].item() == pytest.approx(case.run.kept, abs=1e-8)
    assert outcome.removed[0].item() == pytest.approx(case.run.removed, abs=1e-8)


def test_in_float32_single_cycles_from_the_same_weights_agree_to_a_hundredth_of_the_move(case: Case) -> None:
    """A ReLU or a sorted cell that is close to switching changes a gradient by more than rounding does."""
    engine = Engine(case.classifier, case.recipe, batch=2)
    inversion = Inversion(engine.network, case.recipe, 2)
    cycle = case.recipe.cycle
    assert cycle == (6 if case.recipe.bank == "leaves" else 8)
    for first in range(0, case.recipe.steps_class, cycle):
        inversion.start(case.images.float(), case.fills.float(), [None, None], case.second.float())
        inversion.omega = case.run.steps[first].omega.float().repeat(2, 1)
        inversion.skip_to(first)
        for wanted in case.run.steps[first : first + cycle]:
            before = inversion.omega
            inversion.step()
            assert inversion.loss[0].item() == pytest.approx(wanted.loss, rel=1e-4, abs=1e-5)
            assert torch.equal(inversion.omega, before) == torch.equal(wanted.next_omega, wanted.omega)
        moved, should = (
            inversion.map(inversion.omega)[0].double(),
            case.run.prior
            + torch.einsum("k,khw->hw", case.run.steps[first + cycle - 1].next_omega, case.run.phi),
        )
        assert (moved - should).abs().max() <= 0.01 * case.recipe.rate


def test_in_float32_the_mask_is_that_of_float64(case: Case) -> None:
    engine = Engine(case.classifier, case.recipe, batch=2)
    inversion = Inversion(engine.network, case.recipe, 2)
    inversion.start(case.images.float(), case.fills.float(), [None, None], case.second.float())
    while not inversion.done:
        inversion.step()
    mask = inversion.mask(inversion.omega).image[0].double()
    assert (mask - torch.from_numpy(np.asarray(case.run.mask[0]))).abs().mean() <= 0.005

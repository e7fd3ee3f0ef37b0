"""The engine's optimiser against a literal, one-image float64 version written from the equations."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gfi import samples
from gfi.domain import geometry
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.fills import blur
from gfi.method.inversion import Inversion, Outcome, StopReason
from tests.unit.method import literal
from tests.unit.method.literal import Problem
from tests.unit.method.networks import sample_at, seeded, small_inversion, smooth_images

CASES = [
    # name, preset, pixels, steps of the two stages
    ("alexnet", "paper", 96, (10, 31)),
    ("alexnet", "released", 96, (11, 30)),
    ("vgg11", "released", 64, (11, 30)),
    ("resnet18", "paper", 40, (10, 31)),
    ("resnet18", "released", 40, (11, 30)),
    ("efficientnet-lite0", "paper", 96, (2, 2)),
    ("efficientnet-lite0", "released", 96, (2, 2)),
]
CHECKED = (0, 5, 12, 40)


@dataclass
class Moment:
    """The engine's float64 state before one step: weights (2, K), Adam's moments, and the mask."""

    omega: Tensor
    mean: Tensor
    square: Tensor
    count: Tensor
    mask: Tensor
    loss: Tensor | None = None
    gradient: Tensor | None = None


@dataclass
class Case:
    classifier: Classifier
    recipe: Recipe
    images: Tensor
    fills: Tensor
    problems: list[Problem]
    moments: list[Moment]
    outcome: Outcome


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    """Two images in the engine in float64, with every step recorded."""
    name, preset, pixels, stages = request.param
    chosen = recipe(preset, steps_inversion=stages[0], steps_class=stages[1])
    if name == "efficientnet-lite0":
        classifier = sample_at(96)
        net = sample_at(96).module.double()
        photograph = np.asarray(Image.open(samples.path() / "cat.jpg").convert("RGB"))
        cat = classifier.prepare(photograph, chosen).image
        images = torch.stack([cat, cat.flip(2)]).double()
    else:
        net = seeded(name)
        classifier = classifiers.from_module(net, (pixels, pixels))
        images = smooth_images(2, pixels).float().double()
    fills = torch.stack([blur(x) for x in images]).float().double()
    layers = classifier.layers_for(chosen)
    names = (layers.inverted, layers.mask_layers[0])
    problems = [Problem(net, x[None], p[None], names, chosen) for x, p in zip(images, fills, strict=True)]

    inversion = Inversion(Engine(classifier, chosen, batch=2, dtype=torch.float64).network, chosen, 2)
    inversion.start(images, fills, [None, None])
    moments = []
    while not inversion.done:
        adam = inversion.step_rule
        moment = Moment(
            inversion.omega, adam.mean, adam.square, inversion.updates, inversion.mask(inversion.omega).image
        )
        inversion.step()
        moment.loss, moment.gradient = inversion.loss, inversion.gradient
        moments.append(moment)
    return Case(classifier, chosen, images, fills, problems, moments, inversion.outcome())


def test_in_float64_every_step_equals_the_literal_version_to_1e_8(case: Case) -> None:
    run = case.problems[0].run()
    assert len(run.steps) == len(case.moments) == case.recipe.steps
    for moment, wanted in zip(case.moments, run.steps, strict=True):
        np.testing.assert_allclose(moment.omega[0], wanted.omega, atol=1e-8, rtol=0)
        np.testing.assert_allclose(moment.mask[0], wanted.mask[0], atol=1e-8, rtol=0)
        assert moment.loss[0].item() == pytest.approx(wanted.loss, abs=1e-8, rel=1e-8)
        np.testing.assert_allclose(moment.gradient[0], wanted.gradient, atol=1e-8, rtol=1e-8)
    assert case.outcome.stop_reason[0] == StopReason.FINISHED
    assert case.outcome.iterations[0] == run.iterations == case.recipe.steps
    np.testing.assert_allclose(case.outcome.omega[0], run.omega, atol=1e-8, rtol=0)
    assert case.outcome.kept[0].item() == pytest.approx(run.kept, abs=1e-8)
    assert case.outcome.removed[0].item() == pytest.approx(run.removed, abs=1e-8)


def test_in_float32_single_steps_from_the_same_weights_agree_to_1e_5(case: Case) -> None:
    """Loss, gradient and next ω from the path's own weights, for both images.

    Relative to the size of what is added up: a loss of stage 2 is a difference of probabilities. A ReLU or a maximum
    that is close to switching changes a gradient by more than rounding, in any float32 program (measured: one
    comparison in fifteen, by 1e-5 to 1e-2): one in four may.
    """
    inversion = Inversion(Engine(case.classifier, case.recipe, batch=2).network, case.recipe, 2)
    inversion.start(case.images.float(), case.fills.float(), [None, None])
    apart = []
    for t in (t for t in CHECKED if t < len(case.moments)):
        moment = case.moments[t]
        omega, mean, square = moment.omega.float(), moment.mean.float(), moment.square.float()
        inversion.omega = omega
        inversion.skip_to(t)
        inversion.step_rule.mean, inversion.step_rule.square = mean, square
        inversion.step()
        for row, problem in enumerate(case.problems):
            # A new Adam begins stage 2 of `paper`; the literal one has no state then either.
            state = (
                {}
                if moment.count[row] == 0
                else {
                    "step": moment.count[row].float(),
                    "exp_avg": mean[row].double(),
                    "exp_avg_sq": square[row].double(),
                }
            )
            wanted = problem.step_from(t, omega[row].double(), state)
            size = max(abs(wanted.loss), 1.0)
            assert inversion.loss[row].item() == pytest.approx(wanted.loss, abs=1e-5 * size)
            differences = (
                _relative(inversion.gradient[row], wanted.gradient),
                _relative(inversion.omega[row], wanted.next_omega),
            )
            if max(differences) > 1e-5:
                apart.append((t, row, differences))
    compared = 2 * sum(t < len(case.moments) for t in CHECKED)
    assert len(apart) <= max(compared // 4, 1), apart
    assert all(gradient < 0.05 for _, _, (gradient, _) in apart), apart


def test_a_mask_drawn_from_its_grid_equals_the_optimisers_to_1e_6(case: Case) -> None:
    engine = Engine(case.classifier, case.recipe, batch=2)
    inversion = Inversion(engine.network, case.recipe, 2)
    inversion.start(case.images.float(), case.fills.float(), [None, None])
    size = case.classifier.preprocess.size
    for moment in case.moments[::4]:
        mask = inversion.mask(moment.omega.float())
        drawn = geometry.draw(mask.grid[0].numpy(), size, case.recipe.align_corners)
        np.testing.assert_allclose(drawn, mask.image[0, 0], atol=1e-6, rtol=0)


def _relative(actual: Tensor, wanted: Tensor | None) -> float:
    assert wanted is not None
    return ((actual.double() - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_where_the_mask_dies_both_report_the_same_status_at_the_same_step(preset: str) -> None:
    chosen = recipe(preset, steps_class=20)
    net = seeded("alexnet")
    for quiet in (net.features[10].weight, net.features[10].bias, net.classifier[0].weight):
        quiet.data *= 1e-2  # the penalty wins
    classifier = classifiers.from_module(net, (96, 96))
    images = smooth_images(2, 96)
    layers = classifier.layers_for(chosen)
    run = Problem(
        net, images[:1], literal.blurred(images[:1]), (layers.inverted, layers.mask_layers[0]), chosen
    ).run()
    inversion = Inversion(Engine(classifier, chosen, batch=2, dtype=torch.float64).network, chosen, 2)
    inversion.start(images, torch.stack([blur(x) for x in images]), [None, None])
    while not inversion.done:
        inversion.step()
    outcome = inversion.outcome()
    assert run.status == "empty"
    assert outcome.stop_reason[0] == StopReason.EMPTY
    assert outcome.iterations[0] == run.iterations < chosen.steps
    np.testing.assert_allclose(outcome.omega[0], run.omega, atol=1e-8, rtol=0)


def test_the_second_fill_must_be_given_when_the_recipe_has_one_and_only_then() -> None:
    chosen = recipe("tuned")
    inversion, images, fills = small_inversion(chosen)
    with pytest.raises(ValueError, match="second fill is mean"):
        inversion.start(images, fills, [None] * 3)
    inversion.recipe = replace(chosen, second_fill="none")
    with pytest.raises(ValueError, match="second fill is none"):
        inversion.start(images, fills, [None] * 3, fills)

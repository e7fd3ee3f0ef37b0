"""The preset `tuned`: equal to its literal version, stable, and true to its prior."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gfi import peers, samples
from gfi.domain.errors import MethodError
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers, masks
from gfi.method.classifiers import Classifier, load
from gfi.method.engine import Engine
from gfi.method.fills import blur
from gfi.method.inversion import Inversion, StopReason
from gfi.method.item import Item
from gfi.method.layers import on_two_grids
from gfi.method.parts.map_relative_descent import MapRelativeDescent
from gfi.method.preprocess import Prepared
from tests.unit.method import literal, literal_tuned
from tests.unit.method.networks import Small, sample_at, seeded, smooth_images

CASES = [("alexnet", 96, 8), ("resnet18", 40, 24), ("efficientnet-lite0", 96, 8)]


@dataclass
class Case:
    classifier: Classifier
    recipe: Recipe
    images: Tensor
    fills: Tensor
    second: Tensor
    run: literal_tuned.Run


@pytest.fixture(scope="module", params=CASES, ids=lambda c: c[0])
def case(request: pytest.FixtureRequest) -> Case:
    name, pixels, steps = request.param
    chosen = recipe("tuned", steps_class=steps)
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


def test_in_float32_single_turns_from_the_same_weights_agree_to_a_hundredth_of_the_move(case: Case) -> None:
    """A ReLU or a sorted cell within rounding of its switch moves a gradient by more than rounding does."""
    engine = Engine(case.classifier, case.recipe, batch=2)
    inversion = Inversion(engine.network, case.recipe, 2)
    turn = case.recipe.cycle
    assert turn == 8
    for first in range(0, case.recipe.steps_class, turn):
        inversion.start(case.images.float(), case.fills.float(), [None, None], case.second.float())
        inversion.omega = case.run.steps[first].omega.float().repeat(2, 1)
        inversion.skip_to(first)
        for wanted in case.run.steps[first : first + turn]:
            before = inversion.omega
            inversion.step()
            assert inversion.loss[0].item() == pytest.approx(wanted.loss, rel=1e-4, abs=1e-5)
            assert torch.equal(inversion.omega, before) == torch.equal(wanted.next_omega, wanted.omega)
        moved, should = (
            inversion.map(inversion.omega)[0].double(),
            case.run.prior
            + torch.einsum("k,khw->hw", case.run.steps[first + turn - 1].next_omega, case.run.phi),
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


def small(chosen: Recipe, batch: int = 3) -> tuple[Inversion, Tensor, Tensor]:
    classifier = classifiers.from_module(Small(), (48, 48))
    images = smooth_images(batch, 48).float()
    inversion = Inversion(Engine(classifier, chosen, batch=batch).network, chosen, batch)
    fills = torch.stack([blur(x) for x in images])
    inversion.start(images, fills, [None] * batch, torch.zeros_like(images))
    return inversion, images, fills


def test_a_turn_moves_the_map_as_far_as_the_rate_says_and_a_step_within_it_not_at_all() -> None:
    chosen = recipe("tuned", rate=0.1, halve_every=8, levels=[0.15, 0.5], steps_class=16)
    inversion, _, _ = small(chosen)
    before = inversion.map(inversion.omega)
    assert before.abs().amax((1, 2)).tolist() == pytest.approx([1, 1, 1])
    while not inversion.done:
        t = inversion.steps_taken[0]
        inversion.step()
        after = inversion.map(inversion.omega)
        allowed = 0.0 if t % 4 != 3 else 0.1 if t < 8 else 0.05
        assert (after - before).abs().amax((1, 2)).tolist() == pytest.approx([allowed] * 3, rel=1e-3)
        before = after


def test_every_question_of_a_turn_has_one_vote_however_loud_its_loss() -> None:
    chosen = recipe("tuned", levels=[0.25], steps_class=2)
    inversion, _, _ = small(chosen)
    search = inversion.step_rule
    assert isinstance(search, MapRelativeDescent)
    random = torch.Generator().manual_seed(0)
    omega = torch.zeros_like(inversion.omega)
    quiet, loud = (torch.randn(omega.shape, generator=random) for _ in range(2))
    moves = []
    for scale in (1.0, 1e6):
        count = torch.zeros(len(omega), dtype=torch.long)
        assert torch.equal(search.update(omega, quiet, count, True), omega)
        moves.append(search.update(omega, scale * loud, count + 1, True))
    torch.testing.assert_close(moves[0], moves[1])


def test_steps_move_evidence_about_and_add_none() -> None:
    inversion, _, _ = small(recipe("tuned"))
    mean = inversion.map(inversion.omega).mean((1, 2))
    while not inversion.done:
        inversion.step()
    assert inversion.omega.abs().max() > 0
    assert (inversion.map(inversion.omega).mean((1, 2)) - mean).abs().max() < 1e-5


def test_without_a_step_the_mask_is_grad_cams() -> None:
    inversion, images, _ = small(recipe("tuned", steps_class=0))
    mask = inversion.mask(inversion.omega).image

    class MapRelativeDescent(Small):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y - y.mean(1, keepdim=True)

    wanted = peers.explain("grad-cam", MapRelativeDescent(), images, inversion.target, layer="pool")
    assert tuple(inversion.features.shape[2:]) == (24, 24)
    # Grad-CAM rectifies on its own grid, we on the finer one: equal where nothing is cut.
    assert (mask - wanted).abs().mean() < 0.05


def test_a_class_that_nothing_speaks_for_has_a_mask_too() -> None:
    net = Small()
    net.head.weight.data[4] = -net.head.weight.data.abs().max()
    classifier = classifiers.from_module(net, (48, 48))
    images = smooth_images(1, 48).float()
    chosen = recipe("tuned", check_every=0)
    engine = Engine(classifier, chosen, batch=2)
    assert engine.network.grad_cam(images, torch.tensor([4])).max() <= 0
    item = Item(0, Prepared(images[0], None, (48, 48), (0, 0, 48, 48)), 4)
    (found,) = engine.explain_many([item])
    assert found.iterations == chosen.steps
    assert found.grid.max() == 1


def test_where_the_network_sees_nothing_the_mask_is_empty() -> None:
    net = Small()
    net.body.weight.data.zero_()
    net.body.bias.data.zero_()
    engine = Engine(classifiers.from_module(net, (48, 48)), recipe("tuned"), batch=2)
    (found,) = engine.explain_many(
        [Item(0, Prepared(smooth_images(1, 48)[0].float(), None, (48, 48), (0, 0, 48, 48)))]
    )
    assert found.status == "empty"
    assert found.iterations == 0
    assert not found.grid.any()


def test_a_threshold_keeps_about_the_area_asked_for_and_its_edge_is_a_constant() -> None:
    grid = torch.randn(2, 14, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    upsample = masks.Upsampling.between(grid, grid, False)
    for area in (0.05, 0.25, 0.6):
        part = masks.soft_threshold(grid, upsample, torch.full((2,), area), 1e-3)
        assert part.mean((1, 2, 3)).tolist() == pytest.approx([round(area * 196) / 196] * 2, abs=1e-3)
    leaf = grid.clone().requires_grad_()
    masks.soft_threshold(leaf, upsample, torch.tensor([0.25, 0.25]), 0.2).sum().backward()
    assert (leaf.grad > 0).all()


def test_the_second_fill_must_be_given_when_the_recipe_has_one_and_only_then() -> None:
    chosen = recipe("tuned")
    inversion, images, fills = small(chosen)
    with pytest.raises(ValueError, match="second fill is mean"):
        inversion.start(images, fills, [None] * 3)
    inversion.recipe = replace(chosen, second_fill="none")
    with pytest.raises(ValueError, match="second fill is none"):
        inversion.start(images, fills, [None] * 3, fills)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"levels": []}, "list of numbers"),
        ({"levels": [0.5, 1.0]}, "between 0 and 1"),
        ({"levels": ["a"]}, "of type float"),
        ({"normalise": "image"}, "use `rectified`"),
        ({"softness": 0.0}, "at least 0.001"),
        ({"steps_class": 20}, "`steps_class` is a multiple of 8, not 20"),
        ({"check_every": 4}, "`check_every` is a multiple of 8, not 4"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict, text: str) -> None:
    with pytest.raises(MethodError, match=text):
        recipe("tuned", **changes)


@pytest.mark.parametrize(
    ("reference", "layers"),
    [
        ("efficientnet-lite0", "_swish,_swish+_blocks.11._bn0:relu"),
        ("torchvision:resnet18@seed:0", "layer4,layer4+layer3.1.relu"),
        ("torchvision:mobilenet_v2@seed:0", "features,features+features.14.conv.0.2"),
        ("torchvision:squeezenet1_1@seed:0", "classifier.2,classifier.2+features.7.expand3x3_activation"),
    ],
)
def test_the_mask_is_made_from_the_last_map_and_the_finer_rectified_one_before_it(
    reference: str, layers: str
) -> None:
    assert str(load(reference).layers_for(recipe("tuned"))) == layers


def test_a_start_from_grad_cam_needs_a_map() -> None:
    with pytest.raises(MethodError, match="layer `head` is not a map"):
        on_two_grids("head", classifiers.from_module(Small(), (48, 48)).calls)

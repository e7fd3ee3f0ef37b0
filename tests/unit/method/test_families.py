"""Every family of classifiers in torchvision: the layers that were checked, and a mask from them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gfi.domain import geometry
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared, Preprocess
from tests.unit.method.families import FAMILIES, Family, build
from tests.unit.method.networks import Small, smooth_images

MODELS_PAGE = Path(__file__).parents[3] / "docs" / "models.md"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """With small images two threads are slower than one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


PAPER = recipe("paper", steps_inversion=1, steps_class=1)


TUNED = recipe("tuned", levels=[0.25], steps_class=2)


def mask_of(classifier: Classifier, chosen: Recipe, target: int | None = None) -> NDArray[np.float32]:
    """(H, W); the same bits in two slots."""
    size = classifier.preprocess.size
    image = smooth_images(1, 128)[0, :, : size[0], : size[1]].float()
    item = Item(0, Prepared(image, None, size, (0, 0, size[1], size[0])), target)
    explanation, other = Engine(classifier, chosen, batch=2).explain_many([item, item])
    assert np.array_equal(explanation.grid, other.grid)
    assert (explanation.loss, explanation.kept, explanation.removed) == (
        other.loss,
        other.kept,
        other.removed,
    )
    return geometry.draw(explanation.grid, size, chosen.align_corners)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_has_checked_layers_and_a_mask(family: Family) -> None:
    classifier = Classifier(build(family), family.name, Preprocess(family.size))
    assert str(classifier.layers_for(PAPER)) == family.paper
    assert str(classifier.layers_for(TUNED)) == family.tuned
    for chosen in (PAPER, TUNED):
        mask = mask_of(classifier, chosen)
        assert mask.shape == family.size
        assert np.isfinite(mask).all()
        assert mask.min() >= 0
        assert mask.max() <= 1
        assert mask.max() - mask.min() > 0.05, chosen.name


def test_the_page_of_models_shows_the_layers_of_every_family() -> None:
    rows = [f"| {f.name} | `{f.paper}` | `{f.tuned.partition(',')[2]}` |" for f in FAMILIES]
    shown = [line for line in MODELS_PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert shown[-len(rows) :] == rows


def test_a_vit_whose_images_are_not_square_has_a_grid_that_is_not() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=(48, 80), num_classes=10, depth=3)
    classifier = Classifier(net, "vit", Preprocess((48, 80)))
    assert str(classifier.layers_for(PAPER)) == "blocks.2.norm1:tokens,blocks.1.mlp.act:tokens:relu"
    for chosen in (PAPER, TUNED):
        mask = mask_of(classifier, chosen)
        assert mask.shape == (48, 80)
        assert mask.max() - mask.min() > 0.05


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_a_classifier_of_several_labels_is_explained_for_each_of_them(preset: str) -> None:
    """Two classes of one photograph, each with the sigmoid of its own output."""
    net = Small()
    classifier = Classifier(net.eval(), "labels", Preprocess((32, 32)), "sigmoid")
    chosen = recipe(preset, steps_inversion=3, steps_class=8)
    image = smooth_images(1, 32).float()
    items = [
        Item(i, Prepared(image[0], None, (32, 32), (0, 0, 32, 32)), target) for i, target in enumerate((1, 3))
    ]
    one, other = Engine(classifier, chosen, batch=2).explain_many(items)
    probabilities = net(image).sigmoid()[0]
    assert one.probability == pytest.approx(probabilities[1].item(), abs=1e-5)
    assert other.probability == pytest.approx(probabilities[3].item(), abs=1e-5)
    for explanation in (one, other):
        assert np.isfinite(explanation.grid).all()
        assert explanation.grid.max() > explanation.grid.min()
    assert np.abs(one.grid - other.grid).max() > 0.01

"""Every family of classifiers in torchvision: the layers that were checked, and a mask from them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gfi.domain import interpolation
from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.network import Network
from gfi.method.preprocess import Prepared, Preprocess
from tests.unit.method.families import FAMILIES, Family, build
from tests.unit.method.networks import Small, smooth_images

MODELS_PAGE = Path(__file__).parents[3] / "docs" / "models.md"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small images: two threads wait for each other more than they help."""
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
    found, other = Engine(classifier, chosen, batch=2).explain_many([item, item])
    assert np.array_equal(found.grid, other.grid)
    assert (found.loss, found.kept, found.removed) == (other.loss, other.kept, other.removed)
    return interpolation.draw(found.grid, size, chosen.align_corners)


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


def test_the_tokens_of_a_vit_are_laid_out_as_they_lie_in_the_image_without_the_class_token() -> None:
    (vit,) = (family for family in FAMILIES if family.name == "vit_b_16")
    classifier = Classifier(build(vit), "vit", Preprocess(vit.size))
    layers = Layers.parse("encoder.layers.encoder_layer_11.ln_1:tokens,encoder.dropout:tokens")
    network = Network(classifier, layers, torch.device("cpu"), torch.float32, channels_last=False)
    image = smooth_images(2, 64).float()
    # The tokens that enter the encoder are the patches of conv_proj, each with what its place adds.
    patches = classifier.module.conv_proj(image)
    places = classifier.module.encoder.pos_embedding[0, 1:].T.reshape(768, 4, 4)
    found = network.examine(image)
    assert torch.allclose(found.mask_features, patches + places, atol=1e-5)
    assert found.representation.shape == (2, 768, 4, 4)

    # Grad-CAM by its definition: 16 patches, and not the class token.
    seen: list[torch.Tensor] = []
    norm = classifier.module.encoder.layers.encoder_layer_11.ln_1
    handle = norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.enable_grad():
        outputs = classifier.module(image[:1].clone().requires_grad_())[0]
        (slope,) = torch.autograd.grad(outputs[3] - outputs.mean(), seen[0])
    handle.remove()
    tokens, slope = seen[0].detach()[0, 1:], slope[0, 1:]
    wanted = (tokens * slope.mean(0)).sum(1).view(4, 4)
    evidence = network.grad_cam(image[:1], torch.tensor([3]))[0]
    assert torch.allclose(evidence, wanted, atol=1e-4 * float(wanted.abs().max()))
    assert wanted.abs().max() > 0


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


def test_tokens_are_said_and_nothing_else_is_called_tokens() -> None:
    (swin,) = (family for family in FAMILIES if family.name == "swin_t")
    classifier = Classifier(build(swin), "swin_t", Preprocess(swin.size))
    for layers, words in (
        ("permute,features.7", r"`features.7` gives tokens, 2×3×768; write `features.7:tokens`"),
        ("permute:tokens", r"gives 768×2×3, which is no grid of tokens; leave `:tokens` out"),
    ):
        with pytest.raises(MethodError, match=words):
            Network(classifier, Layers.parse(layers), torch.device("cpu"), torch.float32, False)


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
    for found in (one, other):
        assert np.isfinite(found.grid).all()
        assert found.grid.max() > found.grid.min()
    assert np.abs(one.grid - other.grid).max() > 0.01

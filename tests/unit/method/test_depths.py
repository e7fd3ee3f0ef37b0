"""What each depth preserves: the ladder of layers, and the inversion error compared with its definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gfi.domain.errors import MethodError
from gfi.domain.presets import recipe
from gfi.method import classifiers
from gfi.method.classifiers import Classifier, load
from gfi.method.depths import by_layer, ladder
from gfi.method.preprocess import Prepared, Preprocess
from tests.unit.method.families import FAMILIES, build
from tests.unit.method.networks import Small, smooth_images


def test_the_ladder_has_one_layer_a_resolution_from_shallow_to_deep() -> None:
    assert ladder(load("efficientnet-lite0")) == [
        "_blocks.1._bn0",
        "_blocks.3._bn0",
        "_blocks.5._bn0",
        "_blocks.11._bn0",
        "_swish",
    ]
    assert ladder(classifiers.from_module(Small(), (32, 32))) == ["act", "pool"]
    named = {family.name: family for family in FAMILIES}
    for name, wanted in (
        ("resnet18", ["relu", "layer1", "layer2", "layer3", "layer4"]),
        ("swin_t", ["features.1:tokens", "features.3:tokens", "features.5:tokens", "permute"]),
    ):
        family = named[name]
        assert ladder(Classifier(build(family), name, Preprocess(family.size))) == wanted


def test_the_error_is_the_share_of_the_features_that_the_kept_image_does_not_give_back() -> None:
    net: nn.Module = Small().eval()
    classifier = classifiers.from_module(net, (32, 32))
    images = smooth_images(2, 32).float()
    fills = torch.zeros_like(images)
    prepared = [Prepared(x, p, (32, 32), (0, 0, 32, 32)) for x, p in zip(images, fills, strict=True)]
    depths = list(by_layer(classifier, prepared, batch=2))
    assert [(depth.image, depth.layer) for depth in depths] == [
        (0, "act"),
        (1, "act"),
        (0, "pool"),
        (1, "pool"),
    ]
    for depth in depths:
        x = images[depth.image : depth.image + 1]
        grid = torch.from_numpy(depth.grid)[None, None]
        mask = F.interpolate(grid, (32, 32), mode="bilinear", align_corners=False)

        def features(image: torch.Tensor, deep: bool = depth.layer == "pool") -> torch.Tensor:
            act = torch.relu(net.body(torch.relu(net.stem(image))))
            return F.max_pool2d(act, 2) if deep else act

        wanted = ((features(x * mask) - features(x)) ** 2).sum() / (features(x) ** 2).sum()
        assert depth.error == pytest.approx(wanted.item(), rel=1e-4)
        assert 0 < depth.error < 2


def test_without_a_first_stage_there_is_nothing_to_show() -> None:
    with pytest.raises(MethodError, match="preset `tuned` has no stage 1"):
        list(by_layer(classifiers.from_module(Small(), (32, 32)), [], recipe=recipe("tuned")))


def test_the_ladder_of_a_vit_which_has_one_resolution_is_made_of_its_blocks() -> None:
    from torchvision import models

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = models.VisionTransformer(64, 16, 4, 2, 32, 64, num_classes=5)
    classifier = Classifier(net, "vit", Preprocess((64, 64)))
    climbed = ladder(classifier)
    assert climbed[0].startswith("encoder.layers.encoder_layer_0.")
    assert climbed[-1] == classifier.layers_for(recipe("paper")).inverted
    image = Prepared(smooth_images(1, 64)[0].float(), None, (64, 64), (0, 0, 64, 64))
    depths = list(by_layer(classifier, [image], batch=1))
    assert [depth.layer for depth in depths] == climbed
    assert all(0 <= depth.error < 2 for depth in depths)

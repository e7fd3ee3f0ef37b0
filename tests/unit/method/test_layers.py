"""Layers: the paper's choice, the automatic one, names, and capture under in-place and repeated calls."""

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers, parse_layer
from gfi.domain.presets import PAPER, RELEASED
from gfi.method import classifiers
from gfi.method.classifiers import describe_layers, load
from gfi.method.layers import LayerChoice
from gfi.method.network import Network
from tests.unit.method.networks import Small


def network(classifier: classifiers.Classifier, layers: str) -> Network:
    return Network(classifier, Layers.parse(layers), torch.device("cpu"), torch.float32, channels_last=False)


@pytest.mark.parametrize(
    ("name", "paper", "released"),
    [
        ("alexnet", "features.12,features.12", "features.12,features.12"),
        ("vgg11", "features.20,features.19", "features.20,features.20"),
        ("vgg19", "features.36,features.35", "features.36,features.36"),
        ("vgg16_bn", "features.43,features.42", "features.43,features.43"),
        ("resnet18", "layer4,layer4.1.bn1:relu", "layer4,layer4"),
        ("resnet34", "layer4,layer4.2.bn1:relu", "layer4,layer4"),
        ("resnet50", "layer4,layer4.2.bn2:relu", "layer4,layer4"),
    ],
)
def test_the_papers_networks_have_the_papers_layers(name: str, paper: str, released: str) -> None:
    with torch.device("meta"):
        net = models.get_model(name, weights=None)
    net = net.to_empty(device="cpu") if name.startswith("resnet") else _narrow(net)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.05)
    classifier = classifiers.from_module(net, (96, 96))
    for recipe, wanted in ((PAPER, paper), (RELEASED, released)):
        assert classifier.layer_choice(recipe) == LayerChoice(Layers.parse(wanted), "preset")


def _narrow(net: nn.Module) -> nn.Module:
    """The head of AlexNet or VGG is 100 M weights that no layer choice looks at."""
    net = net.to_empty(device="cpu")
    wide = 9216 if isinstance(net, models.AlexNet) else 25088
    net.classifier = nn.Linear(wide, 10)
    return net


def test_the_sample_classifier_uses_rectified_last_features() -> None:
    classifier = load("efficientnet-lite0")
    assert classifier.layer_choice(PAPER).how == "preset"
    last = {name: (shape, positive) for name, _, shape, positive in describe_layers(classifier)}
    inverted, (weighed,) = classifier.layers_for(PAPER).inverted, classifier.layers_for(PAPER).mask_layers
    assert last[inverted] == ((1280, 7, 7), True)
    assert weighed.endswith(":relu") or last[weighed][1]


@pytest.mark.parametrize(
    ("name", "size", "paper"),
    [
        ("mobilenet_v2", 64, "features,features.17.conv.1.2"),
        ("densenet121", 64, "features,features.denseblock4.denselayer16.relu2"),
        ("squeezenet1_1", 64, "classifier.2,features.12.expand3x3_activation"),
        ("regnet_y_400mf", 64, "trunk_output,trunk_output.block4.block4-5.f.b.2"),
        ("shufflenet_v2_x0_5", 64, "conv5,stage4.3.branch2.7"),
    ],
)
def test_other_networks_get_the_last_map_and_the_activation_below_it(
    name: str, size: int, paper: str
) -> None:
    classifier = load(f"torchvision:{name}@seed:0")
    chosen = classifiers.from_module(classifier.module, (size, size)).layer_choice(PAPER)
    assert chosen.how == "automatic"
    assert str(chosen.layers) == paper


def test_the_automatic_choice_names_what_fed_an_activation_that_runs_again() -> None:
    """torchvision's ResNet, were it not known: the first call of `layer4.1.relu` cannot be named."""

    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = load("torchvision:resnet18@seed:0").module

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    assert (
        str(classifiers.from_module(Mine(), (64, 64)).layer_choice(PAPER).layers)
        == "net.layer4,net.layer4.1.bn1:relu"
    )


def test_signed_activations_are_rectified_and_functional_ones_replaced_by_what_feeds_them() -> None:
    smooth = Small()
    smooth.act = nn.SiLU()
    assert str(classifiers.from_module(smooth, (32, 32)).layers_for(PAPER)) == "pool,act:relu"
    assert str(classifiers.from_module(smooth, (32, 32)).layers_for(RELEASED)) == "pool,pool:relu"

    class Functional(Small):
        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            return self.head(self.pool(torch.relu(self.body(x))).mean((2, 3)))

    assert str(classifiers.from_module(Functional(), (32, 32)).layers_for(PAPER)) == "pool,body:relu"


def test_a_network_without_maps_is_refused_with_advice() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4))
    with pytest.raises(MethodError, match="no spatial feature map"):
        classifiers.from_module(flat, (8, 8)).layers_for(PAPER)
    with pytest.raises(MethodError, match="does not take an image of 3×16×16"):
        _ = classifiers.from_module(flat, (16, 16)).calls
    with pytest.raises(MethodError, match="one \\(N, classes\\) tensor, not \\(1, 3, 8, 8\\)"):
        _ = classifiers.from_module(nn.Identity(), (8, 8)).calls


def test_a_misspelt_layer_is_answered_with_near_matches_and_the_last_convolutions() -> None:
    resnet = load("torchvision:resnet18@seed:0")
    with pytest.raises(MethodError) as e:
        network(resnet, "layer4.1.bn11")
    assert str(e.value) == (
        "layer `layer4.1.bn11` does not exist in torchvision:resnet18@seed:0; did you mean layer4.1.bn1 or"
        " layer4.1.bn2? the last convolutions are layer4.1.conv2, .conv1, layer4.0.downsample.0 —"
        " `gfi layers torchvision:resnet18@seed:0` lists them all"
    )
    alexnet = classifiers.from_module(load("torchvision:alexnet@seed:0").module, (96, 96))
    with pytest.raises(
        MethodError, match=r"`features.99` does not exist in AlexNet.* features.10, .8, .6 — `gfi"
    ):
        network(alexnet, "features.99")
    with pytest.raises(MethodError, match="not of the form NAME, NAME:relu or NAME:tokens:relu"):
        Layers.parse("features.3:gelu")
    for text in ("", "a,b,c", "a,", "a,+"):
        with pytest.raises(MethodError):
            Layers.parse(text)
    assert parse_layer("features.34:relu") == ("features.34", False, True)
    assert parse_layer("encoder.ln:tokens") == ("encoder.ln", True, False)
    assert parse_layer("encoder.ln:tokens:relu") == ("encoder.ln", True, True)


def test_a_layer_that_gives_no_map_is_refused() -> None:
    net = network(classifiers.from_module(Small(), (32, 32)), "pool,head")
    with pytest.raises(MethodError, match="layer `head` gives 5; a mask is made from channels × h × w"):
        net.examine(torch.zeros(1, 3, 32, 32))


def test_an_in_place_relu_after_a_layer_does_not_change_what_was_captured() -> None:
    small = Small()
    tapped = network(
        classifiers.from_module(small, (32, 32)), "pool,stem"
    )  # `relu` after `stem` works in place
    x = torch.randn(2, 3, 32, 32)
    found = tapped.examine(x)
    assert torch.equal(found.mask_features, small.stem(x))
    assert (found.mask_features < 0).any()

    resnet = load("torchvision:resnet18@seed:0")
    signed = network(resnet, "layer4,layer4.1.bn1").examine(torch.randn(1, 3, 64, 64)).mask_features
    assert (signed < 0).any()


def test_a_module_that_runs_twice_means_its_last_call_also_where_the_pass_ends_there() -> None:
    class Twice(Small):
        headed = 0

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.body(self.act(self.stem(x))))
            Twice.headed += 1
            return self.head(self.pool(x).mean((2, 3)))

    net = Twice()
    tapped = network(classifiers.from_module(net, (32, 32)), "act")
    x = torch.randn(2, 3, 32, 32)
    wanted = net.act(net.body(net.act(net.stem(x))))
    assert torch.equal(tapped.examine(x).mask_features, wanted)
    before = Twice.headed
    assert torch.equal(tapped.representation(x), wanted)
    assert Twice.headed == before, "stage 1 does not run the head"


def test_hooks_are_gone_after_a_pass_and_the_callers_network_is_untouched() -> None:
    small = Small()
    tapped = network(classifiers.from_module(small, (32, 32)), "pool,act")
    tapped.examine(torch.zeros(1, 3, 32, 32))
    tapped.representation(torch.zeros(1, 3, 32, 32))
    for module in (*small.modules(), *tapped.module.modules()):
        assert not module._forward_hooks

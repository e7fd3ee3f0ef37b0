"""The choice of layers: the paper's, the automatic one, and that of `tuned`."""

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PAPER, RELEASED, recipe
from gfi.method import classifiers
from gfi.method.classifiers import describe_layers, load
from gfi.method.layers import LayerChoice, on_two_grids
from tests.unit.method.networks import Small


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
    for preset, wanted in ((PAPER, paper), (RELEASED, released)):
        assert classifier.layer_choice(preset) == LayerChoice(Layers.parse(wanted), "preset")


def _narrow(net: nn.Module) -> nn.Module:
    """The head of AlexNet or VGG has 100 M weights that do not matter for the choice of layers."""
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
    """torchvision's ResNet without its known layers: the first call of `layer4.1.relu` cannot be named."""

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

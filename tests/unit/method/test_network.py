"""The network's passes: captured layers, in-place and repeated calls, tokens, and refusals."""

import pytest
import torch
from torch import Tensor

from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers
from gfi.method import classifiers
from gfi.method.classifiers import Classifier, load
from gfi.method.network import Network
from gfi.method.preprocess import Preprocess
from tests.unit.method.families import FAMILIES, build
from tests.unit.method.networks import Small, smooth_images


def network(classifier: classifiers.Classifier, layers: str) -> Network:
    return Network(classifier, Layers.parse(layers), torch.device("cpu"), torch.float32, channels_last=False)


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
    examined = tapped.examine(x)
    assert torch.equal(examined.mask_features, small.stem(x))
    assert (examined.mask_features < 0).any()

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


def test_the_tokens_of_a_vit_are_arranged_as_in_the_image_without_the_class_token() -> None:
    (vit,) = (family for family in FAMILIES if family.name == "vit_b_16")
    classifier = Classifier(build(vit), "vit", Preprocess(vit.size))
    layers = Layers.parse("encoder.layers.encoder_layer_11.ln_1:tokens,encoder.dropout:tokens")
    network = Network(classifier, layers, torch.device("cpu"), torch.float32, channels_last=False)
    image = smooth_images(2, 64).float()
    # The tokens that enter the encoder are the patches of conv_proj, each with what its place adds.
    patches = classifier.module.conv_proj(image)
    places = classifier.module.encoder.pos_embedding[0, 1:].T.reshape(768, 4, 4)
    examined = network.examine(image)
    assert torch.allclose(examined.mask_features, patches + places, atol=1e-5)
    assert examined.representation.shape == (2, 768, 4, 4)

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
    cam = network.grad_cam(image[:1], torch.tensor([3]))[0]
    assert torch.allclose(cam, wanted, atol=1e-4 * float(wanted.abs().max()))
    assert wanted.abs().max() > 0


def test_a_layer_of_tokens_needs_the_suffix_and_no_other_layer_takes_it() -> None:
    (swin,) = (family for family in FAMILIES if family.name == "swin_t")
    classifier = Classifier(build(swin), "swin_t", Preprocess(swin.size))
    for layers, words in (
        ("permute,features.7", r"`features.7` gives tokens, 2×3×768; write `features.7:tokens`"),
        ("permute:tokens", r"gives 768×2×3, which is not a grid of tokens; leave `:tokens` out"),
    ):
        with pytest.raises(MethodError, match=words):
            Network(classifier, Layers.parse(layers), torch.device("cpu"), torch.float32, False)


def test_grad_cam_of_a_row_with_a_foil_is_that_of_the_difference() -> None:
    net = Small().double()
    network = Network(
        classifiers.from_module(net, (32, 32)),
        Layers.parse("pool"),
        torch.device("cpu"),
        torch.float64,
        False,
    )
    x = smooth_images(2, 32)
    cam = network.grad_cam(x, torch.tensor([1, 1]), torch.tensor([-1, 3]))
    of_1, of_3 = (network.grad_cam(x, torch.tensor([c, c])) for c in (1, 3))
    assert torch.equal(cam[0], of_1[0])
    assert torch.allclose(cam[1], of_1[1] - of_3[1], atol=1e-12)

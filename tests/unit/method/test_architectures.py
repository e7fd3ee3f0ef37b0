"""Networks of torchvision and timm: what their own constructors return, for the same weights."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from gfi.domain.errors import MethodError
from gfi.method.architectures import build_pretrained, documented_input, near_matches, torchvision_weights
from gfi.method.classifiers import load
from tests.unit.method.written_models import write

SMALLEST = {
    "alexnet": 64,
    "vgg11": 32,
    "resnet18": 32,
    "squeezenet1_1": 64,
    "densenet121": 32,
    "inception_v3": 80,
    "googlenet": 32,
    "shufflenet_v2_x0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "mnasnet0_5": 32,
    "efficientnet_b0": 32,
    "regnet_x_400mf": 32,
    "convnext_tiny": 32,
    "vit_b_32": 224,
    "swin_t": 32,
    "swin_v2_t": 32,
    "maxvit_t": 224,
}
"""The quickest member of each family and an input size that it takes."""


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of torchvision's weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@contextmanager
def no_initialisation() -> Iterator[None]:
    """Weights that are replaced anyway need no random numbers, which take most of a constructor's time."""

    def untouched(tensor: Tensor, *_: object, **__: object) -> Tensor:
        return tensor

    with ExitStack() as stack:
        for name in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "trunc_normal_", "normal_"):
            stack.enter_context(patch.object(nn.init, name, untouched))
        yield


def put_seeded_weights(name: str) -> None:
    """Weights from a seed in the file where torchvision looks for them.

    A weight of more than 1.5 million numbers repeats its first row, which a file stores once.
    """
    weights, file = torchvision_weights(name)
    options = {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    state = models.get_model(name, weights=None, **options).state_dict()
    generator = torch.Generator().manual_seed(0)
    for key, tensor in state.items():
        if tensor.ndim in (2, 4) and tensor.is_floating_point():
            rows = 1 if tensor.numel() > 1_500_000 else len(tensor)
            drawn = torch.randn(rows, *tensor.shape[1:], generator=generator)
            state[key] = (drawn * (2 / tensor[0].numel()) ** 0.5).expand(tensor.shape)
        elif tensor.is_floating_point():
            state[key] = torch.rand(tensor.shape, generator=generator) + 0.5
    torch.save(state, file)
    assert weights.url.endswith(file.name)


@pytest.mark.parametrize("name", SMALLEST)
def test_every_family_of_torchvision_gives_the_logits_of_its_own_constructor(
    checkpoints: Path, name: str
) -> None:
    with no_initialisation():
        put_seeded_weights(name)
        theirs = models.get_model(name, weights="DEFAULT").eval()
        ours = build_pretrained(name, {})
    image = torch.randn(1, 3, SMALLEST[name], SMALLEST[name], generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = theirs(image)
        assert wanted.isfinite().all()
        assert torch.equal(ours(image), wanted)
        assert wanted.std() > 0


def test_a_reference_has_the_switches_of_trained_weights(checkpoints: Path) -> None:
    with no_initialisation():
        put_seeded_weights("googlenet")
        classifier = load("torchvision:googlenet")
    assert classifier.module.transform_input is True
    assert classifier.module.aux1 is None


def test_a_fine_tuned_googlenet_asks_for_its_switch_and_takes_weights_with_and_without_helpers(
    tmp_path: Path,
) -> None:
    text = 'architecture = "torchvision:googlenet"\nweights = "w.pth"\nclasses = ["a", "b"]\n[input]\nsize = 64\n'
    with no_initialisation():
        for aux in (False, True):
            net = models.googlenet(weights=None, num_classes=2, aux_logits=aux, init_weights=False)
            torch.save(net.state_dict(), tmp_path / "w.pth")
            write(tmp_path, text)
            asks = load("mine", tmp_path)
            assert asks.doubt is not None
            assert "transform_input = true" in asks.doubt
            write(tmp_path, text + "[arguments]\ntransform_input = true\n")
            told = load("mine", tmp_path)
            assert told.doubt is None
            assert told.module.transform_input is True


def test_default_weights_refuse_another_number_of_classes(checkpoints: Path, tmp_path: Path) -> None:
    with no_initialisation():
        put_seeded_weights("squeezenet1_1")
        write(
            tmp_path,
            'architecture = "torchvision:squeezenet1_1"\nweights = "default"\nclasses = ["a", "b"]\n',
        )
        with pytest.raises(MethodError, match=r"mine\.toml: `weights`: .*num_classes.* expected value 1000"):
            load("mine", tmp_path)


def test_a_network_of_one_input_size_decides_on_it() -> None:
    with torch.device("meta"), no_initialisation():
        net = models.vit_b_32(weights=None, image_size=64)
    assert documented_input("torchvision:vit_b_32", net).size == (64, 64)
    assert documented_input("torchvision:vit_b_32").size == (224, 224)


def test_an_unknown_tag_of_timm_is_one_line() -> None:
    with pytest.raises(MethodError, match=r"timm:resnet18\.nothing: Invalid pretrained tag"):
        documented_input("timm:resnet18.nothing")


def test_a_name_that_is_known_twice_is_offered_once() -> None:
    assert near_matches("_swsh", ["_swish", "_conv", "_swish"]) == "; did you mean _swish?"

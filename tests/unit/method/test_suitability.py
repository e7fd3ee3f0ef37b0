"""What registration refuses: a network without gradients, or whose answers depend on chance or on neighbours."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers
from gfi.method.classifiers import from_module, load
from gfi.method.explainer import GuidedFeatureInversion
from tests.unit.method.written_models import GOOD, write


class Net(nn.Module):
    """A small network with a hook for one fault."""

    def __init__(self, norm: nn.Module | None = None, classes: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.c = nn.Conv2d(3, 8, 3, 2, 1)
            self.d = nn.Conv2d(8, 8, 3, 2, 1)
            self.fc = nn.Linear(8, classes)
        self.norm = norm or nn.Identity()
        self.r = nn.ReLU()

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.r(self.d(self.between(self.norm(self.r(self.c(x))))))
        return self.fc(x.mean((2, 3)))


class BatchMean(Net):
    def between(self, x: Tensor) -> Tensor:
        return x - x.mean((0, 2, 3), keepdim=True)


class FirstOfBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return x - x[:1].mean()


class Dropout(Net):
    def between(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.1)


class Counting(Net):
    calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class AlwaysTraining(Net):
    def train(self, mode: bool = True) -> "AlwaysTraining":
        return super().train(True)


class Detached(Net):
    def between(self, x: Tensor) -> Tensor:
        return x.detach()


class PartlyDetached(Net):
    def forward(self, x: Tensor) -> Tensor:
        features = self.r(self.d(self.r(self.c(x.detach()))))
        return self.fc(features.mean((2, 3))) + x.mean((1, 2, 3))[:, None]


class Steps(Net):
    def between(self, x: Tensor) -> Tensor:
        return x.sign() * x.detach().abs().round()


class Reentrant(Net):
    def between(self, x: Tensor) -> Tensor:
        return checkpoint(torch.relu, x, use_reentrant=True)


REFUSED = [
    (
        Net(nn.BatchNorm2d(8, track_running_stats=False)),
        "depends on the images beside it .*: `norm` takes its statistics",
    ),
    (BatchMean(), "depends on the images beside it in the batch"),
    (FirstOfBatch(), "depends on the images beside it in the batch"),
    (Dropout(), "draws random numbers in evaluation mode"),
    (Counting(), "answers differently when it is asked twice"),
    (AlwaysTraining(nn.Dropout(0.1)), "draws random numbers .*: `the network` and .* stays in training mode"),
    (AlwaysTraining(nn.BatchNorm2d(8)), "depends on the images beside it|asked twice"),
    (Detached(), r"no gradient leads from the network's output to the image: remove \.detach"),
    (Steps(), "gradient of the network's output is zero"),
    (Reentrant(), "use_reentrant=False"),
    (Net(classes=1), 'softmax of one output is 1 for every image; set output = "sigmoid"'),
]


@pytest.mark.parametrize(("net", "reason"), REFUSED, ids=[type(net).__name__ for net, _ in REFUSED])
def test_registration_refuses_the_network_with_the_reason(net: Net, reason: str) -> None:
    with pytest.raises(MethodError, match=reason) as e:
        from_module(net, (32, 32)).record()
    assert "\n" not in str(e.value)


def test_a_layer_named_in_the_model_file_needs_a_gradient() -> None:
    layers = Layers("d", ("d:relu",))
    classifier = replace(from_module(PartlyDetached(), (32, 32)), own_layers=layers)
    with pytest.raises(MethodError, match="no gradient leads from layer `d`, which is inverted"):
        classifier.record()


@pytest.mark.parametrize(
    "net",
    [
        Net(nn.BatchNorm2d(8)),
        Net(nn.InstanceNorm2d(8)),
        Net(nn.GroupNorm(2, 8)),
        Net(nn.Dropout(0.5)),
        AlwaysTraining(nn.Identity()),
    ],
    ids=lambda net: type(net.norm).__name__,
)
def test_networks_that_keep_the_rule_are_registered(net: Net) -> None:
    assert "nondeterministic" not in from_module(net, (32, 32)).record()


def test_a_model_file_can_allow_it_and_the_record_says_so(tmp_path: Path) -> None:
    write(tmp_path, "allow_nondeterministic = true\n" + GOOD)
    net = (tmp_path / "net.py").read_text()
    assert "nondeterministic" not in load("mine", tmp_path).record()
    (tmp_path / "net.py").write_text(
        net.replace("nn.MaxPool2d(2)", "nn.BatchNorm2d(12, track_running_stats=False)")
    )
    record = load("mine", tmp_path).record()
    assert "`4` takes its statistics from the batch" in record["nondeterministic"]


def test_a_bare_module_is_checked_too_and_can_be_allowed() -> None:
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(MethodError, match="beside it"):
        GuidedFeatureInversion(BatchMean(), "paper").explain(images)
    allowed = GuidedFeatureInversion(BatchMean(), "paper", allow_nondeterministic=True)
    assert allowed.engine(images).batch >= 1


def test_a_single_output_under_a_sigmoid_is_explained() -> None:
    (explanation,) = GuidedFeatureInversion(Net(classes=1), "tuned", output="sigmoid").explain(
        torch.rand(1, 3, 32, 32)
    )
    assert 0 < explanation.probability < 1

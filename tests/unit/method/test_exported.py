"""Programs of torch.export as models."""

from pathlib import Path

import pytest
import torch
from torch import nn

from gfi import load
from gfi.domain.errors import MethodError
from gfi.domain.presets import PRESETS
from gfi.method.classifiers import from_module
from gfi.method.exported import read_program


class Net(nn.Module):
    """Layers of each kind that is treated differently, one of them in a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU())
        self.last = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.last(self.stem(x))).flatten(1))


def save(net: nn.Module, file: Path, *, batch: bool = True) -> None:
    dynamic = ({0: torch.export.Dim.DYNAMIC},) if batch else None
    torch.export.save(
        torch.export.export(net.eval(), (torch.rand(2, 3, 24, 32),), dynamic_shapes=dynamic), file
    )


def test_a_program_has_the_layers_and_the_answers_of_its_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    save(net, tmp_path / "birds.pt2")
    (tmp_path / "birds.toml").write_text('architecture = "torch.export"\nweights = "birds.pt2"\n')
    classifier, again = load(str(tmp_path / "birds.toml")), load(str(tmp_path / "birds.toml"))
    assert classifier.digest == again.digest
    assert classifier.preprocess.size == (24, 32)
    images = torch.rand(3, 3, 24, 32)
    assert torch.allclose(classifier.module(images), net(images), atol=1e-6)
    plain = from_module(net, (24, 32))
    for recipe in PRESETS.values():
        assert classifier.layers_for(recipe) == plain.layers_for(recipe)
    assert classifier.record()["classes"] == 4  # with every check of a registration
    assert isinstance(classifier.module.get_submodule("fc"), nn.Linear)


def test_what_is_no_program_for_batches_is_refused(tmp_path: Path) -> None:
    save(Net(), tmp_path / "fixed.pt2", batch=False)
    with pytest.raises(MethodError, match=r"exported for a batch of 2; .*dynamic_shapes"):
        read_program(tmp_path / "fixed.pt2")
    (tmp_path / "other.pt2").write_bytes(b"no archive")
    with pytest.raises(MethodError, match=r"is not a program of torch\.export"):
        read_program(tmp_path / "other.pt2")
    with pytest.raises(MethodError, match=r"gone\.pt2"):
        read_program(tmp_path / "gone.pt2")

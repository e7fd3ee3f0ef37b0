"""What is no model and no weights says what to do."""

from pathlib import Path

import pytest
import torch

from gfi.domain.weight_files import is_torchscript, refusal


@pytest.mark.parametrize("name", ["net.pt", "net.torchscript"])
def test_torchscript_is_told_from_weights_whatever_its_name(tmp_path: Path, name: str) -> None:
    network = torch.nn.Linear(2, 2)
    torch.jit.trace(network, torch.rand(1, 2)).save(tmp_path / name)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    assert "is TorchScript, whose layers cannot be read from outside" in str(refusal(tmp_path / name))
    assert not is_torchscript(tmp_path / "weights.pt")
    assert refusal(tmp_path / "weights.pt") is None


def test_files_of_other_programs_are_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("net.onnx", "net.h5", "net.pkl", "net.toml"):
        (tmp_path / name).write_bytes(b"other")
    assert "is ONNX" in str(refusal(tmp_path / "net.onnx"))
    for name in ("net.h5", "net.pkl"):
        assert "is neither a model file NAME.toml nor a file of weights" in str(refusal(tmp_path / name))
    assert refusal(tmp_path / "net.toml") is None
    assert refusal(tmp_path / "torchvision:resnet18") is None
    assert refusal(tmp_path / "gone.pth") == f"{tmp_path / 'gone.pth'} does not exist"
    assert "without config.json" in str(refusal(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert refusal(tmp_path) is None

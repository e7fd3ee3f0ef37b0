"""The model file that `gfi models add weights.pth --architecture …` writes."""

import tomllib
from pathlib import Path

import pytest

from gfi.cli.errors import CommandError
from gfi.cli.new_model_file import write_model_file


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        ("12", {"arguments": {"num_classes": 12}}),
        ('jay, "wren"', {"classes": ["jay", '"wren"']}),
        ("imagenet", {"classes": "imagenet"}),
        ("names.txt", {"classes": "names.txt"}),
        (None, {}),
    ],
)
def test_a_model_file_is_written_beside_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: str | None, wanted: dict[str, object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birds.pth").write_bytes(b"")
    (tmp_path / "names.txt").write_text("jay\n")
    file = write_model_file(Path("birds.pth"), "torchvision:resnet18", classes)
    assert (
        tomllib.loads(file.read_text())
        == {"architecture": "torchvision:resnet18", "weights": "birds.pth"} | wanted
    )
    assert write_model_file(Path("birds.pth"), "torchvision:resnet18", classes) == file


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    weights = tmp_path / "birds.pth"
    with pytest.raises(CommandError, match="does not exist"):
        write_model_file(weights, "torchvision:resnet18", None)
    weights.write_bytes(b"")
    (tmp_path / "birds.toml").write_text("mine")
    with pytest.raises(CommandError, match=r"birds\.toml exists with other content: .* --name"):
        write_model_file(weights, "torchvision:resnet18", None)
    assert (tmp_path / "birds.toml").read_text() == "mine"
    assert write_model_file(weights, "torchvision:resnet18", None, "owls").name == "owls.toml"
    with pytest.raises(CommandError, match="--classes jay: their number"):
        write_model_file(weights, "torchvision:resnet18", "jay", "one")
    with pytest.raises(CommandError, match="decides itself how many"):
        write_model_file(weights, "file:net.py:build", "3", "two")

"""The model file that `gfi models add weights.pth --architecture …` writes."""

import tomllib
from pathlib import Path

import pytest

from gfi.cli.errors import CommandError
from gfi.cli.new_model_file import as_model_file, write_model_file


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
    with pytest.raises(CommandError, match="a program decides itself how many"):
        write_model_file(weights, "torch.export", "3", "three")


def test_a_model_file_that_could_not_be_registered_is_removed(tmp_path: Path) -> None:
    """So that the next attempt may have other options; a file of one's own stays."""
    weights = tmp_path / "birds.pth"
    weights.write_bytes(b"")
    architecture = "torchvision:resnet18"
    with pytest.raises(ZeroDivisionError), as_model_file(str(weights), architecture, None, None) as file:
        raise ZeroDivisionError
    assert not Path(file).exists()
    with as_model_file(str(weights), architecture, "3", None) as file:
        pass
    assert Path(file).read_text().endswith("num_classes = 3\n")
    with pytest.raises(ZeroDivisionError), as_model_file(str(weights), architecture, "3", None):
        raise ZeroDivisionError
    assert Path(file).exists()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("birds.pth", (None, None, None), "holds weights and no network: add --architecture"),
        ("gone.pth", (None, None, None), "gone.pth does not exist"),
        ("net.onnx", (None, None, None), "is ONNX, which is not read"),
        ("net.toml", ("torchvision:resnet18", None, None), "are for a file of weights"),
        ("folder", (None, None, None), "is a folder without config.json"),
    ],
)
def test_what_cannot_be_registered_says_what_to_do(
    tmp_path: Path, name: str, options: tuple[str | None, ...], says: str
) -> None:
    for file in ("birds.pth", "net.toml"):
        (tmp_path / file).write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CommandError, match=says) as caught, as_model_file(str(tmp_path / name), *options):
        pass
    assert "\n" not in str(caught.value)


def test_names_of_models_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birds").mkdir()
    for reference in (
        "birds",
        "efficientnet-lite0",
        "torchvision:vgg19",
        "timm:vit_tiny.augreg@seed:0",
        "net.toml",
    ):
        with as_model_file(reference, None, None, None) as file:
            assert file == reference


def test_programs_and_folders_need_no_architecture(tmp_path: Path) -> None:
    (tmp_path / "birds.pt2").write_bytes(b"")
    (tmp_path / "owls").mkdir()
    (tmp_path / "owls" / "config.json").write_text("{}")
    with as_model_file(str(tmp_path / "birds.pt2"), None, "jay,wren", None) as file:
        assert tomllib.loads(Path(file).read_text())["architecture"] == "torch.export"
    with as_model_file(str(tmp_path / "owls"), None, None, None) as file:
        assert tomllib.loads(Path(file).read_text()) == {"architecture": "huggingface", "weights": "owls"}

"""`gfi explain` in this process, with a network of three classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gfi.cli import explain_photographs
from gfi.cli.main import gfi
from gfi.report import overlays

NET = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 12, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4),
    )
"""
MODEL = """
architecture = "file:net.py:build"
weights = "seed:0"
classes = ["crane", "tiger cat", "crane", "jay"]
[input]
size = 32
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.py").write_text(NET)
    (tmp_path / "models" / "tiny.toml").write_text(MODEL)
    monkeypatch.setenv("GFI_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("GFI_HOME", str(tmp_path / "home"))
    for name in ("a", "b"):
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((80, 60)).save(tmp_path / f"{name}.png")
    return [str(tmp_path / f"{name}.png") for name in ("a", "b")]


def explain(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(gfi, ["explain", *arguments, "--model", "tiny", "--preset", "tuned", "--json"])
    if code:
        assert done.exit_code == code
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_top_explains_the_most_probable_classes_of_each_photograph(photos: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = explain(*photos, "--top", "4", "--output", str(out))
    assert [row["photograph"] for row in rows] == [photos[0]] * 4 + [photos[1]] * 4
    for of_one in (rows[:4], rows[4:]):
        assert sorted(row["target"] for row in of_one) == ["crane", "crane", "jay", "tiger cat"]
        probabilities = [row["probability"] for row in of_one]
        assert probabilities == sorted(probabilities, reverse=True)
        assert of_one[0]["target"] == of_one[0]["prediction"]
    files = {file.name for file in out.iterdir()}
    assert {"a-crane-mask.png", "a-tiger-cat-mask.png", "b-jay-overlay.png"} <= files
    assert len(files) == 16  # also where two classes have one name


def test_each_of_the_most_probable_classes_is_contrasted_with_another_one(
    photos: list[str], tmp_path: Path
) -> None:
    out = "--output", str(tmp_path / "out")
    for foil in range(4):  # one of them is the most probable class
        (row,) = explain(photos[0], "--top", "1", "--rather-than", str(foil), *out)
        assert row["status"] != "error"
    assert len(explain(photos[0], "--top", "4", "--rather-than", "jay", *out)) == 3  # all that there are


def test_rather_than_names_the_other_class_and_takes_the_share(photos: list[str], tmp_path: Path) -> None:
    out = ("--output", str(tmp_path / "out"))
    (plain,) = explain(photos[0], "--target", "jay", *out)
    (other,) = explain(photos[0], "--target", "tiger cat", *out)
    (contrasted,) = explain(photos[0], "--target", "jay", "--rather-than", "tiger cat", *out)
    assert (plain["rather_than"], contrasted["rather_than"]) == (None, "tiger cat")
    share = plain["probability"] / (plain["probability"] + other["probability"])
    assert contrasted["probability"] == pytest.approx(share, abs=1e-3)


def test_classes_that_do_not_fit_are_named(photos: list[str], tmp_path: Path) -> None:
    out = ("--output", str(tmp_path / "out"))
    assert "rather-than 'dog' is not a class of tiny" in explain(
        photos[0], "--rather-than", "dog", *out, code=1
    )
    assert "leave --target out" in explain(photos[0], "--top", "2", "--target", "jay", *out, code=1)
    assert "has 4 classes; --top 5 is more" in explain(photos[0], "--top", "5", *out, code=1)
    assert "write FIELD=VALUE" in explain(photos[0], "--set", "steps_class", *out, code=1)
    assert "steps_klass" in explain(photos[0], "--set", "steps_klass=2", *out, code=1)
    same = explain(photos[0], "--target", "jay", "--rather-than", "jay", *out, code=1)
    assert "the target and the class to contrast it with are both 3" in same


def test_by_layer_draws_one_strip_a_photograph(photos: list[str], tmp_path: Path) -> None:
    command = [
        "explain",
        *photos,
        "--by-layer",
        "--model",
        "tiny",
        "--json",
        "--output",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(gfi, command)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert {row["strip"] for row in rows} == {str(tmp_path / "out" / f"{n}-by-layer.png") for n in ("a", "b")}
    layers = [row["layer"] for row in rows if row["photograph"] == photos[0]]
    assert len(layers) >= 2
    with Image.open(rows[0]["strip"]) as strip:
        assert strip.width > 192 * (1 + len(layers))
    refused = CliRunner().invoke(gfi, [*command, "--top", "2"])
    assert "--by-layer explains no class" in str(refused.exception)


def test_a_folder_is_refused_with_the_command_that_explains_it(photos: list[str], tmp_path: Path) -> None:
    assert f"{tmp_path} is a folder; explain a folder with `gfi submit --dataset" in explain(
        str(tmp_path), code=1
    )
    assert "no such photograph: nowhere.png" in explain("nowhere.png", code=1)


def test_pictures_are_announced_where_there_are_any(photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")

    def said(photo: str, code: int) -> str:
        told = ["explain", photo, "--model", "tiny", "--preset", "tuned", "--output", str(tmp_path / "out")]
        done = CliRunner().invoke(gfi, told)
        assert done.exit_code == code
        return done.output

    assert "pictures are in" in said(photos[0], 0)
    assert "pictures are in" not in said(str(tmp_path / "cut.jpg"), 1)


def test_whatever_is_wrong_with_one_photograph_is_its_own_row(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = tmp_path / "wide.png"
    Image.new("RGB", (9_000_000, 1)).save(wide)

    def paint(rgb: np.ndarray, *rest: Any) -> Any:
        if rgb.shape == (60, 80, 3) and not drawn:
            drawn.append(None)
            raise ZeroDivisionError("no colour")
        return overlays.overlay(rgb, *rest)

    drawn: list[None] = []
    monkeypatch.setattr(explain_photographs, "overlay", paint)
    told = ["explain", photos[0], str(wide), photos[1], "--model", "tiny", "--preset", "released", "--json"]
    quick = ["--output", str(tmp_path / "out")]
    done = CliRunner().invoke(gfi, [*told, *quick])
    rows = json.loads(done.stdout)
    assert [row["status"] == "error" for row in rows] == [True, True, False]
    assert rows[0]["error"] == "no colour"
    assert "less extreme proportions" in rows[1]["error"]

"""Pictures of FGSM on disk, and where masks of the original class land on them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import open_source
from gfi.domain.class_index import ClassIndex
from gfi.domain.preprocess import Preprocess
from gfi.domain.window import Window
from gfi.method.classifiers import Classifier, from_module
from gfi.reproduce.adversarial import Adversarial, Options, make_pictures
from gfi.store.settings import Settings
from tests.unit.reproduce.miniature import photograph, reading

CLASSES = ClassIndex(("dark", "bright"))


@pytest.fixture
def classifier() -> Classifier:
    """`bright` for a mean above one half."""
    linear = torch.nn.Linear(3 * 8 * 8, 2, bias=False)
    linear.weight.data = torch.stack([-torch.ones(192), torch.ones(192)])
    made = from_module(torch.nn.Sequential(torch.nn.Flatten(), linear), (8, 8))
    return replace(made, preprocess=Preprocess((8, 8), mean=(0.5,) * 3, std=(0.25,) * 3))


def dataset(folder: Path, label: str | None) -> Path:
    photograph(folder / "grey.jpg", 160, 80)  # 128: bright, by half a step
    rows = [{"key": "grey.jpg", "label": label, "boxes": [[80, 40, 160, 80]]}, {"key": "none.jpg"}]
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "list.jsonl"


def test_pictures_are_made_once_with_their_boxes(tmp_path: Path, classifier: Classifier) -> None:
    source = open_source(str(dataset(tmp_path, "bright")), Settings())
    made = make_pictures(source, classifier, tmp_path / "work", Options((0, 2)), CLASSES)
    assert made.targets == {"00000.png": 1}
    assert [listing.name for listing in made.listings] == ["eps 0", "eps 2"]
    (example,) = made.listings[1].examples
    assert (example.label, example.boxes[0].sides) == ("bright", (4.0, 4.0, 8.0, 8.0))
    pixels = [np.asarray(Image.open(listing.root / "00000.png")) for listing in made.listings]
    assert pixels[0].shape == (8, 8, 3)
    assert set(np.unique(pixels[0].astype(int) - pixels[1])) == {2}
    before = (made.listings[0].root / "00000.png").stat().st_mtime_ns
    again = make_pictures(source, classifier, tmp_path / "work", Options((0, 2)), CLASSES)
    assert again == made
    assert (made.listings[0].root / "00000.png").stat().st_mtime_ns == before


def test_values_of_twelve_bits_are_read_by_the_window_of_the_model(
    tmp_path: Path, classifier: Classifier
) -> None:
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(tmp_path / "x.png")
    (tmp_path / "list.jsonl").write_text('{"key": "x.png", "boxes": [[0, 0, 4, 4]]}\n')
    wanted = replace(classifier, preprocess=replace(classifier.preprocess, window=Window(2000, 4000)))
    source = open_source(str(tmp_path / "list.jsonl"), Settings())
    made = make_pictures(source, wanted, tmp_path / "work", Options((0,)), CLASSES)
    assert np.unique(np.asarray(Image.open(made.listings[0].root / "00000.png"))).tolist() == [128]


def test_an_image_that_the_network_gets_wrong_is_not_attacked(tmp_path: Path, classifier: Classifier) -> None:
    source = open_source(str(dataset(tmp_path, "dark")), Settings())
    with pytest.raises(DatasetError, match="another class than the label for 1"):
        make_pictures(source, classifier, tmp_path / "work", Options(), CLASSES)


def test_the_share_that_lands_is_counted_for_all_and_for_the_fooled(
    tmp_path: Path, classifier: Classifier
) -> None:
    source = open_source(str(dataset(tmp_path, None)), Settings())
    pictures = make_pictures(source, classifier, tmp_path / "work", Options((0, 4)), CLASSES)
    experiment = Adversarial("net", pictures, ("tuned",), "a list")
    assert [ask.options["target"] for ask in experiment.asks()] == ["auto", "auto"]
    landing = reading({"00000": (8, 8)}, {"00000": (4.0, 4.0, 8.0, 8.0)}, predictions={"00000": 0})
    clean, changed = experiment.report(landing).numbers["rows"]
    assert (changed["epsilon"], changed["fooled"], changed["hit"], changed["hit_of_fooled"]) == (
        4,
        1,
        1.0,
        1.0,
    )
    assert (clean["found"], clean["ok"]) == (1.0, 1)
    elsewhere = reading({"00000": (8, 8)}, {"00000": (0.0, 0.0, 4.0, 4.0)}, predictions={"00000": 1})
    assert experiment.report(elsewhere).numbers["rows"][0]["hit_of_fooled"] is None
    assert experiment.report(elsewhere).numbers["centre"] == 1.0

"""YOLO datasets in both arrangements of folders."""

import pytest
import yaml

from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source


def test_boxes_polygons_and_splits_are_read(plant, free):
    folder = plant(
        "images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg", "images/val/d.jpg", "plot.jpg"
    )
    (folder / "data.yaml").write_text(
        yaml.safe_dump({"train": "images/train", "names": {0: "cat", 2: "dog"}})
    )
    for name, text in {
        "train/a": "2 0.5 0.5 0.5 0.25\n\n",
        "train/b": "0 0.1 0.2 0.3 0.2 0.3 0.6\n2 0.5 0.5 1 1 0.9\n",
        "val/c": "1 0.5 0.5 1 1\n",
    }.items():
        (folder / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text(text)
    notes = ListingNotes()
    source = open_source(str(folder), free)
    a, b, c, d = source.list(notes)
    assert (a.key, a.label, a.boxes[0].unit) == ("images/train/a.jpg", "dog", "fraction")
    assert a.boxes[0].sides == (0.25, 0.375, 0.75, 0.625)
    assert b.label is None
    assert [(box.label, box.sides) for box in b.boxes] == [
        ("cat", (0.1, 0.2, 0.3, 0.6)),
        ("dog", (0, 0, 1, 1)),
    ]
    assert c.boxes_error == "labels/val/c.txt: class 1 has no name in data.yaml"
    assert (d.label, d.boxes, d.boxes_error) == (None, (), None)
    assert notes.skipped == {}
    assert [one.key for one in open_source(f"{folder}?split=val", free).list()] == [c.key, d.key]
    assert source.fetch(a.key, a.version).changed is False


def test_names_are_a_list_or_missing_and_lines_may_be_wrong(plant, free):
    folder = plant("valid/images/a.jpg", "valid/images/b.jpg")
    (folder / "valid" / "labels").mkdir()
    (folder / "valid" / "labels" / "a.txt").write_text("1 0.5 0.5 1 1")
    (folder / "valid" / "labels" / "b.txt").write_text("cat 0.5 0.5 1 1")
    a, b = open_source(str(folder), free).list()
    assert a.label == "1"
    assert "'cat 0.5 0.5 1 1' is not a class and numbers" in str(b.boxes_error)
    (folder / "data.yaml").write_text("names: ['x', 'y']")
    assert next(open_source(str(folder), free).list()).label == "y"
    for names in ("3", "ab", "[null, x]", "{0: [x]}"):
        (folder / "data.yaml").write_text(f"names: {names}")
        with pytest.raises(DatasetError, match="`names` is a list of names"):
            open_source(str(folder), free)
    (folder / "data.yaml").write_text("names: " + "[" * 3000 + "]" * 3000)
    with pytest.raises(DatasetError, match="nested too deeply"):
        open_source(str(folder), free)
    (folder / "data.yaml").write_text("a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]")
    with pytest.raises(
        DatasetError, match="it has aliases"
    ):  # thirty such lines are thousands of millions of words
        open_source(str(folder), free)
    (folder / "data.yaml").write_text("names: [")
    with pytest.raises(DatasetError, match="is not YAML"):
        open_source(str(folder), free)

"""Classes and splits by the names of folders."""

import pytest

from gfi.datasets.class_folders import BESIDE_SPLITS, NUMBERED, class_label, say_splits, split_folders
from gfi.datasets.notes import ListingNotes


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train", "val"], {"train", "val"}),
        (["Train", "valid", "test"], {"Train", "valid", "test"}),
        (["train"], {"train"}),
        (["train", ".cache"], {"train"}),
        (["train", "val", "meta"], {"train", "val"}),
        (["train", "bus", "car"], set()),
        (["train2017", "val2017"], {"train2017", "val2017"}),
        (["training_set", "test-set"], {"training_set", "test-set"}),
        (["trainer", "tests"], set()),
        (["cat", "dog"], set()),
        ([], set()),
    ],
)
def test_which_folders_are_splits(names, splits):
    assert split_folders(names) == splits


@pytest.mark.parametrize(
    ("key", "splits", "label"),
    [
        ("cat/1.jpg", set(), "cat"),
        ("cat/deep/1.jpg", set(), "cat"),
        ("1.jpg", set(), None),
        ("train/cat/1.jpg", {"train"}, "cat"),
        ("train/cat/deep/1.jpg", {"train"}, "cat"),
        ("train/1.jpg", {"train"}, None),
    ],
)
def test_the_label_of_a_key(key, splits, label):
    notes = ListingNotes()
    assert class_label(key, frozenset(splits), notes) == label
    assert notes.lines(1) == []


def test_a_folder_beside_the_splits_has_no_label_and_is_spoken_of():
    notes = ListingNotes()
    assert class_label("meta/cat/1.jpg", frozenset({"train", "val"}), notes) is None
    assert notes.lines(1) == [f"1 of 1 images: {BESIDE_SPLITS} (for example meta/cat/1.jpg)"]


def test_a_number_and_the_splits_are_spoken_of():
    notes = ListingNotes()
    assert class_label("7/1.jpg", frozenset(), notes) == "7"
    say_splits(notes, frozenset({"val", "train"}), None)
    say_splits(notes, frozenset(), None)
    assert notes.lines(1) == [
        "train, val are split folders, not classes: the label is the folder below, and all are read; "
        "`?split=` reads one",
        f"1 of 1 images: {NUMBERED} (for example 7/1.jpg)",
    ]

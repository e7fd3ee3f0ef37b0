"""Labels in the forms found in files."""

import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.labels import FLOAT_LABELS, MANY_LABELS, MOST_LABELS, label_text, label_texts
from gfi.datasets.notes import ListingNotes


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (" cat ", "cat"),
        ("", None),
        (None, None),
        (7, "7"),
        (7.5, "7.5"),
        (float("nan"), None),
        ("1.0", "1.0"),
    ],
)
def test_a_label_is_text(value, label):
    notes = ListingNotes()
    assert label_text(value, "1.jpg", notes) == label
    assert notes.lines(1) == []


def test_a_whole_number_with_a_point_is_read_without_it_and_said():
    notes = ListingNotes()
    assert label_text(7.0, "1.jpg", notes) == "7"
    assert notes.lines(1) == [f"1 of 1 images: {FLOAT_LABELS} (for example 1.jpg)"]


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"cat"])
def test_what_is_neither_text_nor_a_number_is_refused(value):
    with pytest.raises(DatasetError, match="neither text nor a number"):
        label_text(value, "1.jpg", ListingNotes())


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("cat", ("cat", ())),
        ("cat; dog;cat", (None, ("cat", "dog"))),
        (["cat", 7.0, None], (None, ("cat", "7"))),
        (["cat", "cat"], ("cat", ())),
        ("a,b;", ("a,b", ())),
        ([], (None, ())),
        (3, ("3", ())),
    ],
)
def test_several_labels_are_a_list_or_stand_between_semicolons(value, labels):
    assert label_texts(value, "1.jpg", ListingNotes()) == labels


def test_of_very_many_labels_the_first_are_read_and_it_is_said():
    notes = ListingNotes()
    _, labels = label_texts([str(n) for n in range(100)], "1.jpg", notes)
    assert labels == tuple(str(n) for n in range(MOST_LABELS))
    assert MANY_LABELS in notes.lines(1)[0]

"""The roles of the columns of a manifest."""

import pytest

from gfi.datasets.columns import Columns, find_alike, find_columns, frame_of
from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes


def found(names: list[str], **asked: str) -> tuple[Columns, list[str]]:
    notes = ListingNotes()
    return find_columns(names, asked, notes, "list.csv"), notes.lines(1)


def test_names_as_documented_come_first_and_are_not_spoken_of():
    columns, said = found(["class", "label", "Key", "key", "bbox", "boxes", "version"])
    assert (columns, said) == (Columns("key", "label", "boxes", "version"), [])


def test_case_and_blanks_come_before_words_of_other_tools():
    columns, said = found(["path", " KEY ", "class", "Label\t"])
    assert (columns.key, columns.label) == (" KEY ", "Label\t")
    assert said == ["the column ' KEY ' is read as `key`", "the column 'Label\\t' is read as `label`"]


def test_two_candidates_for_the_label_are_asked_for_and_not_guessed():
    columns, said = found(["key", "class", "category"])
    assert columns.label is None
    assert said == [
        "several columns of list.csv may be the label: class, category; say `?label=` and one of them"
    ]
    assert found(["key", "class", "category"], label="class")[0].label == "class"


@pytest.mark.parametrize(
    ("names", "asked", "says"),
    [
        ([], {}, "no column `key`; its columns are none"),
        (["name"], {}, "no column `key`; its columns are name; say `\\?key=`"),
        (["path", "image"], {}, "several columns of list.csv may be the key: path, image"),
        (["key"], {"key": "path"}, "no column 'path' for the key; its columns are key"),
    ],
)
def test_a_key_is_required(names, asked, says):
    with pytest.raises(DatasetError, match=says):
        found(names, **asked)


def test_four_columns_are_a_box_where_there_is_no_other():
    columns, said = found(["key", "Left", "top", "right", "bottom"])
    assert columns.sides == ("Left", "top", "right", "bottom")
    assert len(said) == 1
    assert found(["key", "boxes", "left", "top", "right", "bottom"])[0].sides == ()
    assert found(["key", "left", "top", "right"])[0].sides == ()
    both = ["key", "left", "top", "right", "bottom", "x1", "y1", "x2", "y2"]
    assert found(both)[0].sides == ()


def test_boxes_under_another_name_are_unsure_unless_asked_for():
    assert found(["key", "bbox"])[0].unsure
    assert not found(["key", "bbox"], boxes="bbox")[0].unsure
    assert not found(["key", " Boxes"])[0].unsure
    assert not found(["key"])[0].unsure


def test_a_row_is_split_into_roles_and_the_rest():
    columns = Columns("path", "class", sides=("l", "t", "r", "b"))
    values, rest = columns.split(
        {"path": "1.jpg", "class": "cat", "l": 1, "t": 2, "r": 3, "b": 4, "day": "x"}
    )
    assert values == {"key": "1.jpg", "label": "cat", "sides": [1, 2, 3, 4]}
    assert rest == {"day": "x"}
    assert columns.split({"path": "1.jpg"}) == ({"key": "1.jpg"}, {})


@pytest.mark.parametrize("names", [["x", "y", "w", "h"], ["left", "top", "Width", "height"]])
def test_a_position_and_a_size_are_said_and_not_read(names: list[str]):
    columns, said = found(["key", *names])
    assert columns.sides == ()
    assert said == [
        f"the columns {', '.join(names)} may be the position and size of a box and are not read as one; "
        "left, top, right, bottom are, or a column `boxes`"
    ]


@pytest.mark.parametrize(
    ("names", "role", "name"),
    [
        (["File Path", "x"], "key", "File Path"),
        (["image-path", "x"], "key", "image-path"),
        (["Image_File", "x"], "key", "Image_File"),
        (["key", "Class Name"], "label", "Class Name"),
        (["key", "label_name"], "label", "label_name"),
        (["key", "Bounding Box"], "boxes", "Bounding Box"),
    ],
)
def test_blanks_and_strokes_make_no_difference(names: list[str], role: str, name: str):
    columns, said = found(names)
    assert getattr(columns, role) == name
    assert said == [f"the column {name!r} is read as `{role}`"]


@pytest.mark.parametrize(
    "sides",
    [
        ("x_min", "y_min", "x_max", "y_max"),
        ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
        ("x0", "y0", "x1", "y1"),
        ("min x", "min y", "max x", "max y"),
        ("box-left", "box-top", "box-right", "box-bottom"),
    ],
)
def test_the_sides_of_a_box_under_the_names_of_other_tools(sides: tuple[str, ...]):
    assert found(["key", *sides])[0].sides == sides


@pytest.mark.parametrize(
    ("row", "frame"),
    [
        ({"width": "200", "height": "160"}, (160, 200)),
        ({"Image Width": 200.0, "image_height": 160}, (160, 200)),
        ({"width": "200"}, None),
        ({"width": "", "height": None}, None),
        ({"width": "0.5", "height": "0.25"}, None),
        ({"width": "wide", "height": "1e999"}, None),
        ({}, None),
    ],
)
def test_the_size_of_the_picture_by_its_columns(row, frame):
    assert frame_of(row) == frame


def test_a_record_is_searched_by_the_same_rules():
    notes = ListingNotes()
    assert find_alike(["label", "class"], "label", notes, "a.json") == "label"
    assert notes.lines(1) == []
    assert find_alike(["class", "site"], "label", notes, "a.json") == "class"
    assert notes.lines(1) == ["the column 'class' is read as `label`"]
    assert find_alike(["site"], "label", notes, "a.json") == "label"

"""Forms of boxes: each is read in one way, or refused with a reason."""

from dataclasses import replace

import pytest

from gfi.datasets.annotations.boxes import FRACTIONS, SWAPPED, Box, read_boxes
from gfi.datasets.errors import DatasetError

SIDES = {"left": 8, "top": 9, "right": 24, "bottom": 25}


@pytest.mark.parametrize(
    ("value", "sides", "repairs"),
    [
        ([[8, 9, 24, 25]], (8, 9, 24, 25), ()),
        ([8, 9, 24, 25], (8, 9, 24, 25), ()),
        (SIDES, (8, 9, 24, 25), ()),
        ([{**SIDES, "left": 24, "right": 8}], (8, 9, 24, 25), (SWAPPED,)),
        ([{**SIDES, "top": 25, "bottom": 9}], (8, 9, 24, 25), (SWAPPED,)),
        ([[-3, 9, 24.5, 25]], (-3, 9, 24.5, 25), ()),
        ([[["8", "9"], [24, 10], [20, 25]]], (8, 9, 24, 25), ()),
        ([[8, 9], [24, 10], [20, 25]], (8, 9, 24, 25), ()),
        ([[8, 9, 24, 10, 20, 25]], (8, 9, 24, 25), ()),
        ([{"polygon": [[8, 9], [24, 10], [20, 25]]}], (8, 9, 24, 25), ()),
        ([{"points": [[8, 9], [24, 10], [20, 25]]}], (8, 9, 24, 25), ()),
    ],
)
def test_a_box_is_read_from_what_says_it(value, sides, repairs):
    read = read_boxes(value)
    (box,) = read.boxes
    assert replace(box, outline=None) == Box(None, *sides)
    assert box.outline == ("[[8.0,9.0,24.0,10.0,20.0,25.0]]" if "20" in str(value) else None)
    assert (read.repairs, read.error) == (repairs, None)


def test_label_and_difficult_are_kept():
    (box,) = read_boxes([{**SIDES, "label": " dog ", "difficult": True}]).boxes
    assert box == Box("dog", 8, 9, 24, 25, difficult=True)
    assert box.to_json() == {**SIDES, "label": "dog", "difficult": True}


@pytest.mark.parametrize(
    ("written", "difficult"),
    [
        *((v, False) for v in (None, 0, "0", "false", "False", "", 0.0)),
        *((v, True) for v in (1, "1", "true", 1.0, 2)),
    ],
)
def test_difficult_is_read_as_it_is_meant(written, difficult):
    (box,) = read_boxes([{**SIDES, "difficult": written}]).boxes
    assert box.difficult is difficult


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ([[0.125, 0.125, 0.375, 1.0]], "fraction"),
        ([[0, 0, 1, 1], [0.5, 0.5, 1, 1]], "fraction"),
        ([[-0.001, 0.1, 1.004, 0.9]], "fraction"),
        ([[0, 0, 1, 1], [0, 0, 30, 40]], "pixel"),
        ([[0.5, 0.5, 1.5, 1.5]], "pixel"),
        ([["12.5%", "10%", "37.5%", "20%"]], "percent"),
        ([{**SIDES, "unit": "percent"}], "percent"),
        ([["10%", "10%", "90%", "10%", "50%", "90%"]], "percent"),
    ],
)
def test_the_unit_is_seen_from_all_boxes_of_the_image(value, unit):
    read = read_boxes(value)
    assert {box.unit for box in read.boxes} == {unit}
    assert read.repairs == ((FRACTIONS,) if unit == "fraction" else ())


def test_a_unit_that_is_asked_for_is_believed():
    (box,) = read_boxes([[0, 0, 1, 1]], unit="pixel").boxes
    assert (box.unit, box.sides) == ("pixel", (0, 0, 1, 1))
    (box,) = read_boxes([[10, 10, 60, 60]], unit="percent").boxes
    assert box.unit == "percent"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[0, 0, 1, 1]], r"may be one pixel or.*\?unit=pixel"),
        ([[24, 24, 8, 8]], r"\?four=xywh"),
        ([[8, 8, 8, 24]], "has no area"),
        ([{**SIDES, "left": 24}], "has no area"),
        ([[1, 2, 3]], r"a box is \[left, top"),
        ([[1, 2, 3, 4, 5]], r"a box is \[left, top"),
        ([[[1, 2], [3, 4]]], "at least three points"),
        ([[[1, 2], [3, 4], [5]]], "points"),
        ([["a", 2, 3, 4]], "'a' of a box is not a number"),
        ([[True, 2, 3, 4]], "not a number"),
        ([[1, 2, 10**400, 4]], "not a number"),
        ([[1, 2, float("nan"), 4]], "not a number"),
        ([["10%", 10, 20, 20]], "some sides"),
        ([["10%", "10%", "20%", "20%"], [1, 2, 3, 4]], "some boxes are in percent"),
        ([[["10%", "10%"], [90, 10], [50, 90]]], "some points of a polygon are in percent"),
        ([{"x": 1}], "a box has no 'x'"),
        ([{"left": 1}], "not a number"),
        ([{**SIDES, "unit": "inch"}], "unit of a box"),
        ([{**SIDES, "difficult": "maybe"}], "`difficult` of a box is true or false, not 'maybe'"),
        (3, "not a list"),
        ("[1, 2, 3, 4]", "not a list"),
        ([5], r"a box is \[left, top"),
        ([{**SIDES, "label": "a\0"}], "NUL"),
    ],
)
def test_what_has_no_reading_or_two_says_why(value, said):
    with pytest.raises(DatasetError, match=said):
        read_boxes(value)


def test_four_numbers_may_be_asked_for_as_position_and_size():
    assert read_boxes([[24, 20, 8, 9]], four="xywh").boxes == (Box(None, 24, 20, 32, 29),)
    assert read_boxes([SIDES], four="xywh").boxes == (Box(None, 8, 9, 24, 25),)
    with pytest.raises(DatasetError, match=r"\?four=ltrb"):
        read_boxes([[8, 9, 24, 25]], four=None)
    assert read_boxes([SIDES], four=None).boxes == (Box(None, 8, 9, 24, 25),)


def test_no_boxes_are_no_error():
    assert read_boxes(None).boxes == read_boxes([]).boxes == ()

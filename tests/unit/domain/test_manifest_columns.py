"""The further columns of a manifest: their types, and conditions on them."""

import pytest

from gfi.domain.manifest_columns import (
    LONGEST_VALUE,
    MOST_COLUMNS,
    Census,
    Where,
    as_number,
    parse_where,
    typed,
)

KINDS = {"site": "text", "age": "number", "a=b": "text", "Day ": "text"}


def census(*rows: dict[str, object]) -> Census:
    made = Census()
    for row in rows:
        made.add(row)
    return made


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], "number"),
        (["3", "-0.5", "1e3", "0", ""], "number"),
        (["007", "8"], "text"),  # a code
        (["1", "one"], "text"),
        (["+1"], "text"),
        (["nan"], "text"),
        ([True, False], "text"),
        ([1, True], "text"),
        (["9007199254740993"], "text"),  # not exact as a double
        (["1e999"], "text"),
        ([float("inf")], "text"),
    ],
)
def test_a_column_is_a_number_where_every_value_is_one(values: list[object], kind: str) -> None:
    assert census(*({"x": value} for value in values)).kinds == {"x": kind}


def test_values_have_the_type_of_their_column() -> None:
    kinds = census({"age": "41", "site": 1, "night": True}, {"age": "3.50", "site": "B", "night": "no"}).kinds
    assert typed({"age": "41", "site": 1, "night": True}, kinds) == {
        "age": 41.0,
        "site": "1",
        "night": "true",
    }
    assert typed({"age": "", "site": None}, kinds) == {}


def test_what_is_not_stored_is_said() -> None:
    wide = census({f"c{number}": number for number in range(MOST_COLUMNS + 2)})
    assert len(wide.kinds) == MOST_COLUMNS
    (note,) = wide.notes()
    assert "not 'c16', 'c17'" in note
    odd = census({"x": [1]}, {"x": "a"}, {"x": "b" * (LONGEST_VALUE + 1)}, {"y": "\ud800"}, {"z": "a\0"})
    assert odd.kinds == {"x": "text"}
    assert typed({"x": {"a": 1}}, odd.kinds) == {}
    assert [note.partition(" are")[0] for note in odd.notes()] == [
        "2 values of the column 'x'",
        "1 values of the column 'y'",
        "1 values of the column 'z'",
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("site=A", Where("site", "=", "A")),
        ("site = A=1", Where("site", "=", "A=1")),
        ("SITE!=A", Where("site", "!=", "A")),
        ("age>=40", Where("age", ">=", 40.0)),
        ("age<-1.5", Where("age", "<", -1.5)),
        ("site=", Where("site", "=", None)),
        ("a=b=c", Where("a=b", "=", "c")),
        ("day=2024-01-01", Where("Day ", "=", "2024-01-01")),
    ],
)
def test_conditions_as_people_write_them(text: str, where: Where) -> None:
    assert parse_where(text, KINDS) == where  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sit=A", "its columns are 'site' \\(text\\), 'age' \\(number\\)"),
        ("site", "not a condition"),
        ("age=old", "holds numbers, not 'old'"),
        ("age=nan", "holds numbers"),
        ("age>", "has no value"),
    ],
)
def test_other_conditions_are_refused_with_the_columns_there_are(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_where(text, KINDS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no further columns"):
        parse_where("site=A", {})


def test_numbers_are_read_as_they_are_written() -> None:
    assert [as_number(text) for text in ("1e3", "-0", "1_000", " 1", "0x1", "١")] == [
        1000.0,
        0.0,
        *[None] * 4,
    ]

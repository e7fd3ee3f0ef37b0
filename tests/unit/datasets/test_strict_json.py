"""JSON with one meaning."""

import datetime

import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.strict_json import plain, read_json


def test_what_has_one_meaning_is_read():
    assert read_json('{"a": [1, {"b": null}], "b": {"a": 2}}') == {"a": [1, {"b": None}], "b": {"a": 2}}


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]', "[NaN]", '{"a": -Infinity}']
)
def test_what_has_two_is_refused(text):
    with pytest.raises(ValueError, match=r"twice in one object|is not JSON"):
        read_json(text)


def test_a_text_that_is_nested_too_deeply_is_refused():
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json("[" * 100_000)


def test_rows_are_made_plain():
    assert plain({"day": datetime.date(2026, 1, 2), "gap": float("nan"), "none": None, 3: [1]}) == {
        "day": "2026-01-02",
        "3": [1],
    }
    with pytest.raises(DatasetError, match="NUL"):
        plain({"a": "b\0"})
    assert plain({"a": "\U0001f600"}) == {"a": "\U0001f600"}
    for row in ({"a": ["\ud800"]}, {"\udc00": 1}):
        with pytest.raises(DatasetError, match="not Unicode"):
            plain(row)

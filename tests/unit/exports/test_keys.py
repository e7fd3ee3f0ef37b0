"""Keys as paths, and texts in spreadsheets."""

import pytest

from gfi.exports.keys import safe_cell, safe_path

HOSTILE = [
    "../../x.jpg",
    "/etc/passwd",
    "a/../../x.jpg",
    "..",
    "",
    "a//b",
    "a\\..\\b",
    "x\0y",
    "con.jpg",
    "a\ud800.jpg",
    "n" * 400,
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_path_stays_below_its_folder_and_is_unique(key: str) -> None:
    path = safe_path(key)
    parts = path.split("/")
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(parts)
    assert all(len(part.encode()) <= 220 and "\\" not in part and "\0" not in part for part in parts)
    others = {safe_path(other) for other in HOSTILE if other != key}
    assert path not in others


def test_an_ordinary_key_is_its_path() -> None:
    assert safe_path("mammals/zebra crossing, 1.jpg") == "mammals/zebra crossing, 1.jpg"
    assert safe_path("../a.jpg") != safe_path("a.jpg")


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1+2", "@SUM", "\t=1", "\r=1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(-1.5) == -1.5

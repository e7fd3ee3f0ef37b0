"""What commands print: JSON that every reader takes."""

import json
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest

from gfi.cli.printing import emit, emit_lines

ROW = {"area": float("nan"), "bounds": [float("inf"), 0.5], "at": datetime(2026, 1, 2, tzinfo=UTC)}


def strict(text: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_number_that_is_none_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit([ROW])
    (row,) = strict(capsys.readouterr().out)
    assert (row["area"], row["bounds"]) == (None, [None, 0.5])
    emit_lines([ROW, ROW])
    lines = capsys.readouterr().out.splitlines()
    assert [strict(line) for line in lines] == [row, row]

"""`gfi results --group-by`: says when there are more groups, and prints a line a row."""

from typing import Any

import pytest
from click.testing import CliRunner

from gfi.cli import printing
from gfi.cli import results as results_command


class Grouped:
    """A service with two groups of a column, and perhaps more."""

    def __init__(self, more: bool) -> None:
        self.more = more

    def groups(self, *_: Any, **__: Any) -> tuple[list[dict[str, Any]], bool]:
        names = ("A" * 300, "B")
        return [{"value": name, "images": 1, "counts": {"ok": 1}, "means": {}} for name in names], self.more


@pytest.mark.parametrize(
    ("more", "words", "said"), [(True, (), True), (False, (), False), (True, ("--limit", "1"), False)]
)
def test_more_groups_are_spoken_of_and_a_row_is_a_line(
    monkeypatch: pytest.MonkeyPatch, more: bool, words: tuple[str, ...], said: bool
) -> None:
    monkeypatch.setattr(results_command, "open_service", lambda: Grouped(more))
    done = CliRunner().invoke(results_command.results, ["j1", "--group-by", "site", *words])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].startswith("A" * 300)
    assert ("these are the 2 largest groups; there are more" in done.stderr) == said


class Listed:
    """A service with two results, one of them of a class other than the predicted one."""

    def __init__(self) -> None:
        numbers = {"probability": 0.98765, "kept": 0.5, "removed": 0.25, "area": 0.125, "deletion": 0.123456}
        self.rows: list[dict[str, Any]] = [
            {"row": row, "key": "photographs/of/a/long/folder/" + "x" * 40 + ".jpg", "status": "ok", "target_rank": 0}
            | {"target": 281, "target_name": "tabby cat", "prediction": 285, "prediction_name": "Egyptian cat"}
            | numbers | {"columns": {"site": "A"}, "error": None}
            for row in range(2)
        ]  # fmt: skip

    def results(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return self.rows

    def job(self, _: str) -> dict[str, Any]:
        return {"facts": {"columns": {"site": "text"}}}


def test_results_name_classes_and_show_the_metrics_that_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Listed()
    monkeypatch.setattr(results_command, "open_service", lambda: service)
    header, row, _ = CliRunner().invoke(results_command.results, ["j1"]).stdout.splitlines()
    assert header.split()[4:] == ["prediction", "probability", "kept", "removed", "area", "deletion", "site"]
    assert "tabby cat" in row
    assert row.split()[-6:] == ["0.988", "0.500", "0.250", "0.125", "0.123", "A"]
    service.rows[1] |= {"target_rank": 1, "error": "too dark"}
    header = CliRunner().invoke(results_command.results, ["j1"]).stdout.splitlines()[0]
    assert {"target_rank", "error"} < set(header.split())


def test_a_row_is_a_line_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_command, "open_service", Listed)
    monkeypatch.setattr(printing, "_WIDE", 80)
    monkeypatch.setattr(Listed, "job", lambda *_: {})
    lines = CliRunner().invoke(results_command.results, ["j1"]).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for line in lines[-2:]:
        assert line.startswith("…x")
        assert line.split()[-4:] == ["0.988", "0.500", "0.250", "0.123"]


def test_a_metric_that_is_zero_everywhere_is_shown_and_one_that_no_image_has_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Listed()
    for row in service.rows:
        row |= {"pointing_hit": 0.0, "insertion": None}
    monkeypatch.setattr(results_command, "open_service", lambda: service)
    header = CliRunner().invoke(results_command.results, ["j1"]).stdout.splitlines()[0].split()
    assert "pointing_hit" in header
    assert not {"insertion", "target_rank", "error"} & set(header)

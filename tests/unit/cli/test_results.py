"""`gfi results --group-by`: says when there are more groups, and prints a line a row."""

from typing import Any

import pytest
from click.testing import CliRunner

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

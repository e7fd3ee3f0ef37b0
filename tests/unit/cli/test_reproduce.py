"""`gfi reproduce` without a service: what it refuses, which job it continues, and what it prints."""

from typing import Any

import pytest
from click.testing import CliRunner

from gfi.cli.errors import CommandError
from gfi.cli.main import gfi
from gfi.cli.reproduce import print_report, resumed
from gfi.reproduce.experiment import Report, Table


class Jobs:
    """A service whose jobs of a key are in these states already."""

    def __init__(self, *states: str) -> None:
        self._states = {f"reproduce-x-{number}": state for number, state in enumerate(states, 1)}

    def submit(self, options: Any, *, key: str, new: bool) -> dict[str, Any]:
        known = key in self._states
        self._states.setdefault(key, "queued")
        return {"job": key, "created": not known}

    def job(self, job_id: str) -> dict[str, Any]:
        return {"state": self._states[job_id]}


@pytest.mark.parametrize(
    ("states", "number"),
    [
        ((), 1),
        (("running",), 1),
        (("partial",), 1),
        (("failed",), 2),
        (("failed", "cancelled", "succeeded"), 3),
    ],
)
def test_the_job_of_an_earlier_run_is_continued_unless_it_failed(
    states: tuple[str, ...], number: int
) -> None:
    assert resumed(Jobs(*states), {"name": "one"}, "reproduce-x") == f"reproduce-x-{number}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["adversarial", "--epsilon", "0,two"], "different whole numbers from 0 to 255"),
        (["voc-pointing", "."], "unset GFI_API_URL"),
        (["voc-pointing", ".", "-o", "no/such/folder/x.json"], "name a file in a folder that exists"),
        (["salient-objects", ".", "-o", "."], "name a file in a folder that exists"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_line(
    arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GFI_API_URL", "http://elsewhere")
    with pytest.raises(CommandError, match=reason):
        CliRunner().invoke(gfi, ["reproduce", *arguments], catch_exceptions=False, standalone_mode=False)


def test_a_report_is_tables_and_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(
        Report("Pointing", (Table("Ours", ("method", "0 px"), (("paper", "54.7"),)),), ("another network",))
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if line] == [
        "Pointing",
        "Ours",
        "method  0 px",
        "paper   54.7",
        "What differs from the published set-up:",
        "- another network",
    ]

"""How `--wait` ends: with the exit status of the job's state."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from gfi.cli import follow, job_summary
from gfi.cli import job as job_commands
from gfi.cli import submit as submit_command


class Ended:
    """A service whose only job has ended."""

    def __init__(self, state: str) -> None:
        progress = {"total": 24, "done": 8, "finished": 0, "in_flight": 0, "eta_s": None}
        self.record = {"id": "j1", "state": state, "paused": False, "error": None, "progress": progress}

    def submit(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"job": "j1", "created": True, "reason": ""}

    def job(self, _: str) -> dict[str, Any]:
        return self.record

    def failures(self, _: str) -> list[Any]:
        return []


def run(monkeypatch: pytest.MonkeyPatch, state: str, *words: str) -> Any:
    commands: dict[str, tuple[Any, click.Command]] = {
        "job": (job_commands, job_commands.job),
        "submit": (submit_command, submit_command.submit),
    }
    module, command = commands[words[0]]
    monkeypatch.setattr(module, "open_service", lambda: Ended(state))
    monkeypatch.setattr(job_summary, "print_summary", lambda *_: click.echo("the summary"))
    return CliRunner().invoke(command, words[1:])


@pytest.mark.parametrize(
    ("state", "status"), [("succeeded", 0), ("partial", 4), ("failed", 5), ("cancelled", 6)]
)
@pytest.mark.parametrize("words", [("job", "j1"), ("submit", "--dataset", "photographs")])
def test_waiting_ends_with_the_status_of_the_job(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], state: str, status: int
) -> None:
    done = run(monkeypatch, state, *words, "--wait")
    assert done.exit_code == status, done.output
    assert "the summary" in done.stdout
    assert (f"job j1: {state}" in done.stderr) == bool(status)
    done = run(monkeypatch, state, *words, "--wait", "--json")
    assert done.exit_code == status
    assert '"state"' in done.stdout
    done = run(monkeypatch, state, *words, "--wait", "--allow-partial")
    assert done.exit_code == (0 if state == "partial" else status)


def test_waiting_for_a_cancelled_job_ends_when_its_workers_have_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The summary said that no image was explained, and a second later twelve were."""
    service = Ended("cancelled")
    working, released = dict(service.record["progress"], in_flight=5), service.record["progress"]
    answers = iter([working, working, released])
    monkeypatch.setattr(service, "job", lambda _: dict(service.record, progress=next(answers)))
    monkeypatch.setattr(follow.time, "sleep", lambda _: None)
    assert follow.follow(service, "j1", quiet=True)["progress"]["in_flight"] == 0  # type: ignore[arg-type]
    monkeypatch.setattr(service, "job", lambda _: dict(service.record, progress=working))
    monkeypatch.setattr(follow, "RELEASE_S", 0.0)
    assert follow.follow(service, "j1", quiet=True)["state"] == "cancelled"  # type: ignore[arg-type]


def test_only_waiting_has_these_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "failed", "job", "j1").exit_code == 0
    refused = run(monkeypatch, "partial", "job", "j1", "--allow-partial")
    assert (refused.exit_code, "--wait" in refused.output) == (2, True)

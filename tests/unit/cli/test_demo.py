"""Two concurrent `gfi demo`: the one that started the stack stops it when neither uses it any more."""

import fcntl
from pathlib import Path
from typing import Any

import pytest

from gfi.cli import demo


class Stack:
    """A stack that another demo uses until its second call of `watch`."""

    def __init__(self, home: Path) -> None:
        self.events: list[str] = []
        self.other = (home / "demo.lock").open("ab")
        fcntl.flock(self.other, fcntl.LOCK_SH)

    def watch(self) -> None:
        self.events.append("watched")
        if len(self.events) == 2:
            self.other.close()

    def stop(self) -> None:
        self.events.append("stopped")


def test_a_stack_is_stopped_when_no_other_demo_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "WAIT_S", 0.0)
    stack: Any = Stack(tmp_path)
    demo._stop_when_unused(tmp_path, stack)
    assert stack.events == ["watched", "watched", "stopped"]
    assert capsys.readouterr().out.count("another gfi demo uses this stack") == 1


def test_a_demo_starts_a_stack_of_its_own_where_another_one_was_being_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    def own(home: Path, _: Path) -> None:
        started.append(home)
        if len(started) == 1:
            raise demo.AlreadyRuns(home)

    monkeypatch.setattr(demo, "_run_with_own_stack", own)
    demo.run_demo(tmp_path / "home", tmp_path / "out")
    assert started == [tmp_path / "home"] * 2

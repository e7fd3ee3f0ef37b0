"""A home directory has one supervisor; files left by a killed supervisor are ignored."""

import json
from pathlib import Path

import pytest

from gfi.cli.home import (
    AlreadyRuns,
    SupervisorLock,
    children_file,
    make_home,
    ready,
    running_stack,
    stack_file,
    supervisor_of,
    write_private,
)
from gfi.cli.stack import Stack


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_home_is_for_its_user_alone_and_another_folder_keeps_its_mode(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    make_home(home)
    assert (mode(home), mode(home / "logs")) == (0o700, 0o700)
    project.mkdir(mode=0o755)
    make_home(project)
    assert (mode(project), mode(project / "logs")) == (0o755, 0o700)
    write_private(project / "identity.json", {})
    make_home(project)
    assert (mode(project), mode(project / "identity.json")) == (0o700, 0o600)


def test_one_supervisor_has_the_directory_from_its_first_act(tmp_path: Path) -> None:
    first, second = SupervisorLock(tmp_path), SupervisorLock(tmp_path)
    assert supervisor_of(tmp_path) is None
    first.acquire()
    assert supervisor_of(tmp_path) is not None
    with pytest.raises(AlreadyRuns, match=f"already runs in {tmp_path}: gfi down stops it"):
        second.acquire()
    assert not second.held
    first.release()
    assert supervisor_of(tmp_path) is None
    second.acquire()
    second.release()


def test_a_stack_that_finds_another_one_touches_nothing_of_it(tmp_path: Path) -> None:
    running = SupervisorLock(tmp_path)
    running.acquire()
    for file in (stack_file(tmp_path), children_file(tmp_path)):
        file.write_text("of the running one")
    stack = Stack(tmp_path)
    with pytest.raises(AlreadyRuns):
        stack.start()
    stack.stop()
    assert stack_file(tmp_path).read_text() == children_file(tmp_path).read_text() == "of the running one"
    running.release()


def test_files_of_a_killed_stack_are_not_a_running_one(tmp_path: Path) -> None:
    gone = {"pid": 2**22 + 1, "started": 1.0}
    stack_file(tmp_path).write_text(json.dumps({"supervisor": gone}))
    children_file(tmp_path).write_text(json.dumps([{"name": "api", **gone}]))
    (tmp_path / "supervisor.lock").write_text(json.dumps(gone))
    assert running_stack(tmp_path) is None
    assert supervisor_of(tmp_path) is None
    assert not ready(tmp_path)


def test_who_reads_while_a_record_is_written_reads_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children are recorded again whenever one is restarted, and `gfi down` and others read the file at any time."""
    path = tmp_path / "children.json"
    write_private(path, [{"pid": 1}])
    read = []
    monkeypatch.setattr("gfi.cli.home.json.dump", lambda record, file, **_: read.append(path.read_text()))
    write_private(path, [{"pid": 2}])
    assert [json.loads(text) for text in read] == [[{"pid": 1}]]

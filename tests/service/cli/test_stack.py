"""`gfi up` and `gfi down`: they work in any directory and while other processes run."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.service.cli.conftest import IN_THE_WAY, Gfi, gfi_in
from tests.service.cli.test_job_from_start_to_end import eventually


def test_folders_of_a_project_that_are_named_like_our_packages_are_not_imported(
    stack: Gfi, finished: dict[str, Any]
) -> None:
    """The stack was started in such a project (`project_in_the_way`), and each of its processes has worked."""
    assert finished["progress"]["done"] == finished["total"] > 1
    logs = {log.name: log.read_text(errors="replace") for log in (stack.home / "logs").glob("*.log")}
    assert {"up.log", "scheduler.log", "control.log", "worker.log", "api.log"} <= set(logs)
    assert not [name for name, text in logs.items() if IN_THE_WAY in text]


def test_another_start_in_the_same_directory_is_refused_and_changes_nothing(stack: Gfi) -> None:
    files = [stack.home / name for name in ("stack.json", "children.json", "identity.json")]
    before = [file.read_text() for file in files]
    for command in (("up", "-d"), ("up",)):
        done = stack.run(*command, check=False)
        assert done.returncode == 1
        assert f"a stack already runs in {stack.home}" in done.stderr
    assert [file.read_text() for file in files] == before
    stack.run("jobs")


def test_a_server_that_dies_is_started_again_with_its_data(
    stack: Gfi, finished: dict[str, Any], tmp_path: Path
) -> None:
    killed = stack.pids()
    for server in ("valkey", "s3"):
        os.kill(killed[server], signal.SIGKILL)
    eventually(lambda: all(stack.pids()[server] != killed[server] for server in ("valkey", "s3")))
    findings = {finding["what"]: finding for finding in stack.json("doctor")}
    assert findings["redis"]["ok"], findings
    assert findings["s3"]["ok"], findings
    report = stack.json("report", finished["id"], "-o", tmp_path / "report")["report"]  # it reads the masks
    assert Path(report).exists()


def test_a_stack_in_another_folder_is_named(stack: Gfi, tmp_path: Path) -> None:
    elsewhere = gfi_in(tmp_path / "home").in_this_process()
    refused = elsewhere.run("jobs", check=False).stderr
    assert f"nothing is running in {tmp_path / 'home'}" in refused
    assert str(stack.home) in refused
    assert str(stack.home) in elsewhere.run("down").stdout


def test_what_a_stack_writes_is_for_its_user_alone(stack: Gfi) -> None:
    assert stack.home.stat().st_mode & 0o077 == 0
    # SeaweedFS sets the mode of its .vif files itself; models are copies with the modes of their originals.
    open_to_others = [
        path
        for path in stack.home.rglob("*")
        if path.is_file()
        and path.suffix != ".vif"
        and "models" not in path.parts
        and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []

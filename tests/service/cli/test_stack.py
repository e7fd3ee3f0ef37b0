"""`gfi up` and `gfi down`: where they are started does not matter."""

from typing import Any

from tests.service.cli.conftest import IN_THE_WAY, Gfi


def test_folders_of_a_project_that_are_named_like_our_packages_are_not_imported(
    stack: Gfi, finished: dict[str, Any]
) -> None:
    """The stack was started in such a project (`project_in_the_way`), and every process of it has worked."""
    assert finished["progress"]["done"] == finished["total"] > 1
    logs = {log.name: log.read_text(errors="replace") for log in (stack.home / "logs").glob("*.log")}
    assert {"up.log", "scheduler.log", "control.log", "worker.log", "api.log"} <= set(logs)
    assert not [name for name, text in logs.items() if IN_THE_WAY in text]

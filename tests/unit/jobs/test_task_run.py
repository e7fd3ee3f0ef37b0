"""The end of a task whose lease is lost; whole tasks run in tests/service/jobs/test_task_run.py."""

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gfi.jobs.task_run import TaskLease, TaskRun
from gfi.store import ledger
from gfi.store.lease import LeaseLost


@pytest.mark.parametrize(("answer", "released"), [(LeaseLost("gone"), 1), (False, 1), (True, 0)])
def test_a_task_that_ends_too_late_is_given_back(
    monkeypatch: pytest.MonkeyPatch, answer: bool | LeaseLost, released: int
) -> None:
    """Otherwise the worker, which lives, stays counted as dead: its lease ran out while the database was away."""
    calls: list[object] = []
    monkeypatch.setattr(ledger, "release_control", lambda _, claim, reason: calls.append(claim))

    def retry(call: Any) -> bool:
        if isinstance(answer, LeaseLost):
            raise answer
        return answer

    lease = SimpleNamespace(retry=retry, hand_back=lambda call: call(), progressed=lambda: None)
    claim: Any = SimpleNamespace(progress=None)
    run = TaskRun(cast(Any, None), claim, threading.Event(), cast(TaskLease, lease))
    assert run.finish({}) is (answer is True)
    assert calls == [claim] * released

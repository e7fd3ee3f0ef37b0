"""The outcomes of a control task for each event that its handler may meet."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.states import ControlKind
from gfi.domain.tasks import KINDS
from gfi.jobs.task_run import TaskRun
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.settings import Settings
from gfi.store.tables import control_tasks
from scheduler import tasks
from scheduler.services import ControlServices


def perform(
    database: Database, monkeypatch: pytest.MonkeyPatch, handler: Callable[..., str], **how: Any
) -> str:
    """Do a sweep with this handler instead of its own; returns the outcome."""
    monkeypatch.setattr(tasks, "HANDLERS", {ControlKind.SWEEP: handler})
    ledger.request_sweep(database, 0.0)
    claim = ledger.claim_control(database, "worker", 60.0)
    assert claim is not None
    bucket: Any = None
    stop = threading.Event()
    if how.get("stopped"):
        stop.set()
    return tasks.perform(ControlServices(Settings(), database, bucket), claim, stop)


def task(database: Database) -> sa.Row[Any]:
    with database.read() as connection:
        return connection.execute(sa.select(control_tasks)).one()


def failing(error: Exception) -> Callable[..., str]:
    def handler(services: ControlServices, run: TaskRun) -> str:
        raise error

    return handler


def test_every_kind_of_task_has_a_handler() -> None:
    assert set(tasks.HANDLERS) == {kind.name for kind in KINDS.values() if kind.needs == "none"}


@pytest.mark.parametrize("error", [Transient("restarting"), Unavailable("away"), ZeroDivisionError("ours")])
def test_a_fault_that_may_pass_is_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert perform(database, monkeypatch, failing(error)) == "failed"
    row = task(database)
    assert (row.state, row.attempts) == ("pending", 1)
    assert str(error) in row.reason


@pytest.mark.parametrize("error", [StoreError("no such bucket"), DatasetError("no such directory")])
def test_a_fault_that_does_not_pass_ends_the_task(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert perform(database, monkeypatch, failing(error)) == "failed"
    assert (task(database).state, task(database).reason) == ("failed", str(error))


def test_a_task_that_is_interrupted_is_released_and_has_used_no_attempt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(services: ControlServices, run: TaskRun) -> str:
        run.check()
        raise AssertionError("the stop was not noticed")

    assert perform(database, monkeypatch, handler, stopped=True) == "interrupted"
    assert (task(database).state, task(database).attempts) == ("pending", 0)

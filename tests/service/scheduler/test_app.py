"""The Celery application of control workers: it sends heartbeats, and does one leased task for each hint."""

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from gfi.cli.servers import Server
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.heartbeat import worker_name
from gfi.store.tables import control_tasks
from tests.servers import Sqlite, environment
from tests.service.store.test_objects import settings_for
from tests.speed import slowness


@pytest.fixture
def control(
    s3: Server, sqlite_files: Sqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """`scheduler.app` as imported by a control worker, with its own services."""
    url = sqlite_files.create()
    settings = settings_for(s3.url, s3_bucket="control-tests", database_url=url, home=tmp_path)
    for variable, value in environment(settings).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("GFI_HOME", str(tmp_path))
    sys.modules.pop("scheduler.app", None)
    module = importlib.import_module("scheduler.app")
    module._services().bucket.ensure()
    yield module
    module._shutdown.set()
    module._services().database.dispose()
    sys.modules.pop("scheduler.app")
    sqlite_files.drop(url)


def database(control: ModuleType) -> Database:
    return control._services().database


def test_a_control_worker_shows_itself_in_the_list_of_workers(control: ModuleType) -> None:
    control.app.amqp.queues.select(["control"])
    control._ready()
    deadline = time.monotonic() + 60.0 * slowness()
    while not (workers := queries.list_workers(database(control))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (worker,) = workers
    assert (worker.name, worker.queues, worker.state) == (worker_name(), ["control"], "up")
    assert worker.alive
    assert worker.memory_mib is not None
    assert worker.memory_mib > 1.0
    assert worker.clock_skew_s is not None
    assert abs(worker.clock_skew_s) < 5.0


def test_a_hint_is_answered_with_one_leased_task_and_a_second_finds_nothing(control: ModuleType) -> None:
    task = ledger.request_sweep(database(control), 0.0)
    assert control.run_control(task) == "0 orphans deleted"
    assert control.run_control(task) == "nothing due"
    with database(control).read() as connection:
        row = connection.execute(sa.select(control_tasks)).one()
    assert (row.state, row.worker, row.attempts) == ("done", worker_name(), 1)


def test_a_worker_that_is_to_stop_claims_nothing(control: ModuleType) -> None:
    task = ledger.request_sweep(database(control), 0.0)
    control._shutting_down()
    assert control.run_control(task) == "stopping"
    claim = ledger.claim_control(database(control), "another", 60.0)
    assert claim is not None
    assert claim.task_id == task

"""The heartbeat of a worker process."""

import threading
from pathlib import Path

import pytest

from gfi.domain import kernel_files
from gfi.store import heartbeat, queries
from gfi.store.database import Database
from gfi.store.errors import Transient
from gfi.store.heartbeat import machine_facts, start_heartbeat, worker_name


def test_the_memory_of_a_worker_is_that_of_its_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_files, "CGROUP", tmp_path)
    machine = machine_facts()["memory_mib"]
    for limit, mib in ((str(2**30 // 8), 128), ("max", machine), (str(2**60), machine)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert machine_facts()["memory_mib"] == mib


def test_a_process_writes_what_it_is_and_does_until_it_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_S", 0.001)
    shutdown, third = threading.Event(), threading.Event()
    rates = iter(range(1, 1_000_000))

    def doing() -> dict[str, float]:
        rate = next(rates)
        if rate == 3:
            third.set()
        if rate == 1:
            raise KeyError("a bug: the thread goes on")
        if rate == 2:
            raise Transient("the database is away: one heartbeat is lost and the next one is written")
        return {"rate": float(rate)}

    thread = start_heartbeat(
        database,
        device="cpu",
        queues=["b", "a"],
        version="1",
        shutdown=shutdown,
        facts={"torch": "2.9"},
        doing=doing,
    )
    assert third.wait(60.0)
    shutdown.set()
    thread.join()
    (worker,) = queries.list_workers(database)
    assert (worker.name, worker.device, worker.queues, worker.version) == (
        worker_name(),
        "cpu",
        ["a", "b"],
        "1",
    )
    assert worker.facts == machine_facts() | {"torch": "2.9"}
    assert worker.rate is not None
    assert worker.rate >= 3.0
    assert worker.memory_mib is not None
    assert worker.memory_mib > 1.0

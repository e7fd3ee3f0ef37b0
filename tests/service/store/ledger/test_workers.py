"""Workers and their heartbeats."""

from gfi.store import ledger, queries
from gfi.store.database import Database


def test_workers_are_seen_by_their_last_heartbeat(database: Database) -> None:
    ledger.heartbeat(database, {"id": "host:1", "device": "cpu", "queues": ["explain"]})
    ledger.heartbeat(database, {"id": "host:1", "rate": 2.5})
    (worker,) = queries.list_workers(database)
    assert (worker.name, worker.device, worker.rate, worker.alive) == ("host:1", "cpu", 2.5, True)
    assert ledger.forget_workers(database, 3600.0) == 0
    assert ledger.forget_workers(database, -1.0) == 1

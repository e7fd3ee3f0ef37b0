"""Requests for sweeps and for lists of parts."""

from gfi.domain.states import ControlKind
from gfi.store import ledger
from gfi.store.database import Database
from tests.service.store.ledger_actors import claim, claim_task, commit, plan


def test_a_sweep_waits_once(database: Database) -> None:
    first = ledger.request_sweep(database, 0.0)
    assert ledger.request_sweep(database, 0.0) is None
    task = claim_task(database, ControlKind.SWEEP)
    assert task.task_id == first
    assert ledger.finish_control(database, task, {"deleted": 3})
    assert ledger.finish_control(database, task)
    assert ledger.request_sweep(database, 3600.0) is None
    assert ledger.request_sweep(database, 0.0) not in (None, first)


def test_parts_are_listed_every_so_many_and_once(database: Database) -> None:
    job = plan(database, total=8, size=1)
    for expected in ([], [job], []):
        assert commit(database, claim(database))
        asked = ledger.request_lists(database, every=2)
        assert len(asked) == len(expected)
    task = claim_task(database, ControlKind.LIST)
    assert task.job_id == job
    assert ledger.finish_control(database, task, {"parts": 3})
    assert commit(database, claim(database))
    assert not ledger.request_lists(database, every=2), "four parts, three of them listed"
    assert commit(database, claim(database))
    assert len(ledger.request_lists(database, every=2)) == 1

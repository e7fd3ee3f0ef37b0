"""The rows of a deleted job go in batches, and a sweep finishes what was left."""

import pytest
import sqlalchemy as sa

from gfi.domain.states import ControlKind
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.ledger import deletion
from gfi.store.tables import result_sums, results
from tests.service.store.ledger_actors import claim_task, finish_all, plan, recorded


def left(database: Database, job: str) -> list[int]:
    with database.read() as connection:
        return [
            connection.execute(
                sa.select(sa.func.count()).select_from(table).where(table.c.job_id == job)
            ).scalar_one()
            for table in (results, result_sums)
        ]


def test_a_large_job_is_gone_at_once_and_its_rows_by_a_sweep(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "BATCH", 2)
    job, other = plan(database, total=33, size=4), plan(database, total=5)
    finish_all(database)
    ledger.finish_jobs(database)
    ledger.delete_job(database, job)
    assert left(database, job) == [13, 9]  # ten batches of two are gone
    assert claim_task(database, ControlKind.SWEEP) is not None
    looked = []
    assert ledger.delete_leftovers(database, lambda: looked.append(left(database, job))) == 1
    assert looked[:3] == [[13, 9], [11, 9], [9, 9]]  # the sweep can be stopped between batches
    assert left(database, job) == [0, 0]
    assert recorded(database, other) == dict.fromkeys(range(5), "ok")
    assert ledger.delete_leftovers(database) == 0

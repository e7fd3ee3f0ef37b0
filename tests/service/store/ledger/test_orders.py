"""Orders are those of the current results, or none is used."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.ledger import orders
from gfi.store.tables import result_orders
from tests.service.store.ledger_actors import claim, claim_task, part, plan, records


def _ended(database: Database) -> str:
    """A job of ten images, of which the last five are errors."""
    job = plan(database, total=10, size=5)
    for status in (ImageStatus.OK, ImageStatus.ERROR):
        held = claim(database)
        rows = [replace(row, kept=1 - row.row / 10) for row in records(range(held.start, held.stop), status)]
        assert ledger.commit_shard(database, held, held.stop, part(held, 5), rows)
    ledger.finish_jobs(database)
    return job


def _rows(database: Database, job: str) -> list[int]:
    return [result.row for result in queries.list_results(database, job, sort="kept")]


def test_a_commit_makes_an_order_old(database: Database) -> None:
    job = _ended(database)
    assert ledger.write_orders(database, job) == 10
    assert _rows(database, job) == list(range(9, -1, -1))
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="r1", total=5, shards=[(0, 5)])
    assert _rows(database, job) == list(range(9, -1, -1))
    held = claim(database)
    again = [replace(row, kept=0.04 * row.row - 0.17) for row in records([5, 6, 7, 8, 9])]
    assert ledger.commit_shard(database, held, 2, part(held, 2), again[:2])  # [5, 7); the rest waits again
    expected = [5, 6, 9, 8, 7, 4, 3, 2, 1, 0]
    assert _rows(database, job) == expected
    assert ledger.cancel_job(database, job)
    assert _rows(database, job) == expected
    assert ledger.write_orders(database, job) == 10
    assert _rows(database, job) == expected
    assert ledger.request_orders(database, at_least=10) == []


def test_an_order_of_earlier_commits_is_not_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plan(database, total=10, size=5)
    held = claim(database)
    assert ledger.commit_shard(database, held, 5, part(held, 5), records(range(5)))
    late = claim(database)
    written = orders._write

    def commit_first(*given: object) -> bool:
        ledger.commit_shard(database, late, 10, part(late, 5), records(range(5, 10)))
        return written(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(orders, "_write", commit_first)
    assert ledger.write_orders(database, job) == 0
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(result_orders)).scalar() == 0
    assert len(_rows(database, job)) == 10


def test_orders_are_requested_once_for_large_jobs_that_have_ended(database: Database) -> None:
    job = plan(database, total=5, size=5)
    held = claim(database)
    assert ledger.commit_shard(database, held, 5, part(held, 5), records(range(5)))
    assert ledger.request_orders(database, at_least=5) == []  # it runs
    ledger.finish_jobs(database)
    assert ledger.request_orders(database) == []  # it is small
    assert len(ledger.request_orders(database, job, at_least=5)) == 1
    assert ledger.request_orders(database, at_least=5) == []  # asked for already
    task = _claim_order(database)
    ledger.fail_control(database, task, "no disk", retry=False)
    assert ledger.request_orders(database, at_least=5) == []
    ledger.retry_task(database, task.task_id)
    ledger.write_orders(database, job)
    assert ledger.finish_control(database, _claim_order(database))
    assert ledger.request_orders(database, at_least=5) == []


def _claim_order(database: Database) -> ControlClaim:
    task = ledger.claim_control(database, "c", 60.0, wanted=ledger.Wanted(kinds=[ControlKind.ORDER]))
    assert task is not None
    return task


def test_a_deleted_job_is_not_sorted(database: Database) -> None:
    with pytest.raises(NotFound):
        ledger.write_orders(database, "01nothing")

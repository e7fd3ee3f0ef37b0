"""Requests for tasks: sweeps, lists of parts, and requests of users."""

import pytest

from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind, JobState
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from tests.service.store.ledger_actors import begin, claim, claim_task, commit, plan, states


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


def test_the_same_request_is_one_task_while_it_is_open(database: Database) -> None:
    asked = {"reference": "net"}
    first, created = ledger.request_task(database, ControlKind.REGISTER, asked, owner="ada")
    assert created
    assert ledger.request_task(database, ControlKind.REGISTER, asked, owner="bob") == (first, False)
    assert ledger.request_task(database, ControlKind.REGISTER, {"reference": "other"}, owner="ada")[1]
    assert ledger.cancel_task(database, first)
    assert ledger.request_task(database, ControlKind.REGISTER, asked, owner="ada")[1]


@pytest.mark.parametrize("end", ["cancelled", "failed", "lost before its job began"])
def test_the_job_of_an_import_ends_with_its_task(database: Database, end: str) -> None:
    task_id, _ = ledger.request_task(database, ControlKind.IMPORT, {}, owner="ada")

    def claim_import() -> ControlClaim:
        claimed = ledger.claim_work(database, "w", EXPLAIN_QUEUE, 60.0, kinds=[ControlKind.IMPORT])
        assert isinstance(claimed, ControlClaim)
        return claimed

    task = claim_import()
    assert ledger.save_control(database, task, {"job": "imported"}, lambda connection: None)
    if end.startswith("lost"):
        assert ledger.cancel_task(database, task_id)
        assert not begin(database, "imported", task)
        assert queries.list_jobs(database) == []
        return
    assert begin(database, "imported", task)
    if end == "failed":
        assert ledger.fail_control(database, task, "its file is gone", retry=False)
    else:
        assert ledger.cancel_task(database, task_id)
    job = queries.get_job(database, "imported")
    assert (job.state, states(database, "imported")) == (JobState.CANCELLED, [(0, 1, "cancelled")])
    ledger.retry_task(database, task_id)
    assert claim_import().progress is None  # another attempt makes another job


def test_what_a_kind_usually_takes_is_the_mean_of_the_last(database: Database) -> None:
    assert queries.usual_duration(database, ControlKind.SWEEP) is None
    ledger.request_sweep(database, 0.0)
    assert ledger.finish_control(database, claim_task(database, ControlKind.SWEEP))
    took = queries.usual_duration(database, ControlKind.SWEEP)
    assert took is not None
    assert 0.0 <= took < 60.0


def test_only_what_is_not_a_step_of_a_job_is_cancelled_by_itself(database: Database) -> None:
    plan(database, total=1)
    (listing,) = queries.list_tasks(database)
    for change in (ledger.cancel_task, ledger.retry_task):
        with pytest.raises(Conflict, match="cancel or retry the job"):
            change(database, listing.id)
        with pytest.raises(NotFound):
            change(database, "nothing")

"""Schedules and their firings."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from gfi.domain.records import JobSpec
from gfi.domain.states import JobState
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.tables import firings
from tests.service.store.ledger_actors import (
    submit,
)


def test_a_firing_starts_one_job_however_many_schedulers_see_it_due(database: Database) -> None:
    spec = JobSpec(config={"a": 1}, new=True)
    schedule = ledger.add_schedule(
        database, "nightly", "30 2 * * *", "Europe/Vienna", {"dataset": "x"}, next_due=0.0
    )
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: ledger.fire(database, schedule, "2026-10-25T02:30", spec, next_due=1.0), range(8)
            )
        )
    assert sum(answer is not None for answer in answers) == 1
    assert len(queries.list_jobs(database)) == 1
    assert ledger.fire(database, schedule, "2026-10-26T02:30", spec, next_due=1.0) is not None


def test_a_firing_that_is_refused_is_not_tried_for_ever(database: Database) -> None:
    submit(database)
    spec = JobSpec(config={"a": 1})
    schedule = ledger.add_schedule(database, "nightly", "30 2 * * *", "UTC", {"owner": "ann"}, next_due=0.0)
    fired = ledger.fire(database, schedule, "k", spec, next_due=1.0, max_active_jobs=1)
    assert fired is not None
    assert "GFI_MAX_ACTIVE_JOBS" in str(fired.reason)
    assert ledger.fire(database, schedule, "k", spec, next_due=1.0, max_active_jobs=1) is None
    with database.read() as connection:
        assert "GFI_MAX_ACTIVE_JOBS" in connection.execute(sa.select(firings.c.error)).scalar_one()


def test_schedules_have_names_of_their_own_and_leave_their_jobs_behind(database: Database) -> None:
    spec = JobSpec(config={"a": 1}, priority=2)
    schedule = ledger.add_schedule(database, "nightly", "30 2 * * *", "UTC", {"owner": "ann"}, next_due=0.0)
    with pytest.raises(Conflict, match="nightly"):
        ledger.add_schedule(database, "nightly", "0 3 * * *", "UTC", {}, next_due=0.0)
    (listed,) = queries.list_schedules(database)
    assert (listed["request"], listed["owner"]) == ({"owner": "ann"}, "ann")
    ledger.fire(database, schedule, "k", spec, next_due=1.0)
    ledger.remove_schedule(database, "nightly")
    with pytest.raises(NotFound):
        ledger.remove_schedule(database, "nightly")
    assert ledger.fire(database, schedule, "later", spec, next_due=1.0) is None
    assert len(queries.list_jobs(database)) == 1


def schedule_of(database: Database) -> str:
    return ledger.add_schedule(database, "hourly", "0 * * * *", "UTC", {"dataset": "x"}, next_due=0.0)


def fired(database: Database, schedule: str, key: str, overlap: str) -> ledger.Fired:
    outcome = ledger.fire(database, schedule, key, JobSpec(config={"a": 1}, new=True), overlap=overlap)
    assert outcome is not None
    return outcome


def test_while_a_job_is_active_a_firing_is_skipped_with_the_reason(database: Database) -> None:
    schedule = schedule_of(database)
    first = fired(database, schedule, "1", "skip").submitted
    assert first is not None
    second = fired(database, schedule, "2", "skip")
    assert second.submitted is None
    assert first.job_id in str(second.reason)
    ledger.cancel_job(database, first.job_id)
    assert fired(database, schedule, "3", "skip").submitted is not None
    rows = queries.list_firings(database, schedule)
    assert [(row["firing_key"], row["job_id"] is not None, row["error"] is not None) for row in rows] == [
        ("3", True, False),
        ("2", False, True),
        ("1", True, False),
    ]


def test_a_firing_cancels_the_job_of_the_one_before(database: Database) -> None:
    schedule = schedule_of(database)
    first, second = (fired(database, schedule, key, "cancel").submitted for key in "12")
    assert first is not None
    assert second is not None
    assert queries.get_job(database, first.job_id).state is JobState.CANCELLED
    assert queries.get_job(database, second.job_id).state is JobState.QUEUED


def test_waiting_firings_have_their_turn_one_after_the_other_and_once(database: Database) -> None:
    schedule = schedule_of(database)
    first = fired(database, schedule, "1", "queue").submitted
    assert first is not None
    for key in "23":
        assert fired(database, schedule, key, "queue") == ledger.Fired()
    assert queries.waiting_firings(database) == []
    ledger.cancel_job(database, first.job_id)
    (waiting,) = queries.waiting_firings(database)
    assert waiting["firing_key"] == "2"
    spec = JobSpec(config={"a": 1}, new=True)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda key: ledger.fire_waiting(database, schedule, key, spec), ["2", "2", "3", "3"])
        )
    assert sum(answer is not None for answer in answers) == 1
    assert len(queries.list_jobs(database)) == 2

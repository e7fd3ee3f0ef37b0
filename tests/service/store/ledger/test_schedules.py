"""Schedules and their firings."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from gfi.domain.records import JobSpec
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, LimitExceeded, NotFound
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
    with pytest.raises(LimitExceeded):
        ledger.fire(database, schedule, "k", spec, next_due=1.0, max_active_jobs=1)
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

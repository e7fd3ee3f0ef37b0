"""The progress of a job."""

import pytest

from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from tests.service.store.ledger_actors import (
    claim,
    commit,
    plan,
    submit,
)


def test_progress_counts_what_is_under_way_and_how_long_it_will_take(database: Database) -> None:
    job = plan(database, total=12)
    assert queries.job_progress(database, job).eta_s is None
    assert commit(database, claim(database))
    held = claim(database)
    ledger.renew_lease(database, held, 60.0, step=5, in_flight=[5, 6], finished=1)
    progress = queries.job_progress(database, job)
    assert (progress.total, progress.done, progress.finished, progress.in_flight) == (12, 4, 1, 2)
    assert progress.rate is not None
    assert progress.eta_s == pytest.approx(7 / progress.rate)
    assert progress.to_json()["by_status"]["ok"] == 4
    assert queries.waiting(database)["explain"] == {"pending": 1, "leased": 1, "delayed": 0}


def test_a_job_that_is_deleted_after_it_was_listed_is_left_out(database: Database) -> None:
    """The list of jobs answered 500 where a schedule deleted an old job at this moment."""
    kept, gone = submit(database), submit(database)
    listed = queries.list_jobs(database)
    ledger.cancel_job(database, gone)
    ledger.delete_job(database, gone)
    assert [job.id for job, _ in queries.with_progress(database, listed)] == [kept]
    assert queries.with_progress(database, []) == []
    with pytest.raises(NotFound):
        queries.job_progress(database, gone)

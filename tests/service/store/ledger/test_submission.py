"""Submitting: idempotency keys, work that runs already, limits."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from gfi.domain.records import JobSpec
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.errors import Conflict, LimitExceeded
from tests.service.store.ledger_actors import (
    submit,
)


def test_a_used_idempotency_key_returns_its_job(database: Database) -> None:
    spec = JobSpec(config={"a": 1}, owner="ann", idempotency_key="k")
    first = ledger.submit_job(database, spec)
    again = ledger.submit_job(database, spec)
    assert (again.job_id, again.created) == (first.job_id, False)
    with pytest.raises(Conflict, match="belongs to job"):
        ledger.submit_job(database, JobSpec(config={"a": 2}, owner="ann", idempotency_key="k"))
    # Keys belong to an owner: the same key of another owner means another job.
    assert ledger.submit_job(database, JobSpec(config={"a": 3}, owner="bob", idempotency_key="k")).created


def test_the_same_work_is_not_started_twice_unless_asked(database: Database) -> None:
    first = ledger.submit_job(database, JobSpec(config={"a": 1, "b": 2}))
    again = ledger.submit_job(database, JobSpec(config={"b": 2, "a": 1}))
    assert again.job_id == first.job_id
    assert again.reason == f"already running as {first.job_id}; --new starts another"
    assert ledger.submit_job(database, JobSpec(config={"a": 1, "b": 2}, new=True)).created
    assert ledger.submit_job(database, JobSpec(config={"a": 1})).created


def test_a_key_that_met_the_same_work_names_its_job_from_then_on(database: Database) -> None:
    first = ledger.submit_job(database, JobSpec(config={"a": 1}, owner="bob"))
    spec = JobSpec(config={"a": 1}, owner="ann", idempotency_key="k")
    assert ledger.submit_job(database, spec).job_id == first.job_id
    ledger.cancel_job(database, first.job_id)
    again = ledger.submit_job(database, spec)  # the work has ended; the request is still the same
    assert (again.job_id, again.created) == (first.job_id, False)
    with pytest.raises(Conflict, match="belongs to job"):
        ledger.submit_job(database, JobSpec(config={"a": 2}, owner="ann", idempotency_key="k"))
    ledger.delete_job(database, first.job_id)
    assert ledger.submit_job(database, spec).created


def test_the_same_work_over_another_listing_is_another_job(database: Database) -> None:
    first = ledger.submit_job(database, JobSpec(config={"a": 1}, listing_digest="x"))
    assert not ledger.submit_job(database, JobSpec(config={"a": 1}, listing_digest="x")).created
    assert not ledger.submit_job(database, JobSpec(config={"a": 1})).created
    assert ledger.submit_job(database, JobSpec(config={"a": 1}, listing_digest="y")).created
    ledger.cancel_job(database, first.job_id)
    assert ledger.submit_job(database, JobSpec(config={"a": 1}, listing_digest="x")).created


def test_eight_submitting_at_once_start_one_job(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ledger.submit_job(database, JobSpec(config={"a": 1})), range(8)))
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.job_id for answer in answers}) == 1


def test_too_many_jobs_are_refused_by_name_of_the_limit(database: Database) -> None:
    submit(database)
    with pytest.raises(LimitExceeded, match="GFI_MAX_ACTIVE_JOBS"):
        ledger.submit_job(database, JobSpec(config={"a": 1}), max_active_jobs=1)

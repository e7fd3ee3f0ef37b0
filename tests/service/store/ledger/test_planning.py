"""The end of planning: limits, gaps, retries with nothing to do."""

import pytest

from gfi.domain.states import ControlKind, JobState
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import LimitExceeded
from tests.service.store.ledger_actors import (
    claim_task,
    finish_all,
    plan,
    plan_claimed,
    states,
    submit,
)


def test_too_many_images_are_refused_by_name_of_the_limit(database: Database) -> None:
    submit(database)
    task = claim_task(database, ControlKind.PLAN)
    with pytest.raises(LimitExceeded, match="GFI_MAX_IMAGES_PER_JOB allows 9"):
        ledger.finish_planning(
            database,
            task,
            manifest_key="m",
            manifest_digest="d",
            total=10,
            shards=[(0, 10)],
            max_images=9,
        )


def test_a_dataset_without_images_fails_its_job_with_the_reason(database: Database) -> None:
    job = submit(database)
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN), total=0)
    ended = queries.get_job(database, job)
    assert (ended.state, ended.error) == (JobState.FAILED, "the dataset has no images")


def test_shards_that_leave_a_gap_are_refused(database: Database) -> None:
    job = submit(database)
    task = claim_task(database, ControlKind.PLAN)
    for gap in ([(0, 4), (5, 10)], [(0, 4), (4, 9)], [(0, 4), (3, 10)]):
        with pytest.raises(ValueError, match=r"does not begin at|cover"):
            ledger.finish_planning(
                database, task, manifest_key="m", manifest_digest="d", total=10, shards=gap
            )
    assert queries.get_job(database, job).state is JobState.PLANNING
    assert states(database, job) == []


def test_a_retry_with_nothing_to_do_changes_nothing(database: Database) -> None:
    job = plan(database)
    finish_all(database)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
    assert queries.get_job(database, job).state is JobState.SUCCEEDED


def test_a_retry_completes_a_job_that_was_cancelled_behind_its_last_commit(database: Database) -> None:
    job = plan(database)
    finish_all(database)
    ledger.cancel_job(database, job)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
    (finished,) = ledger.finish_jobs(database)
    assert (finished.job_id, finished.state) == (job, JobState.SUCCEEDED)

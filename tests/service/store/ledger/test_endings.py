"""How a job ends."""

import pytest

from gfi.domain.records import NotifyTarget
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from tests.service.store.ledger_actors import (
    OVER,
    claim,
    claim_task,
    commit,
    finish_all,
    plan,
    recorded,
)


def test_a_job_runs_from_submission_to_success(database: Database) -> None:
    job = plan(database)
    assert queries.get_job(database, job).state is JobState.RUNNING
    finish_all(database)
    (finished,) = ledger.finish_jobs(database)
    assert (finished.job_id, finished.state) == (job, JobState.SUCCEEDED)
    assert ledger.finish_jobs(database) == []
    assert claim_task(database, ControlKind.REPORT).job_id == job
    assert recorded(database, job) == dict.fromkeys(range(10), "ok")


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([ImageStatus.OK, ImageStatus.EMPTY], JobState.SUCCEEDED),
        ([ImageStatus.OK, ImageStatus.ERROR], JobState.PARTIAL),
        ([ImageStatus.OK, ImageStatus.CHANGED], JobState.PARTIAL),
        ([ImageStatus.ERROR, ImageStatus.ERROR], JobState.FAILED),
    ],
)
def test_how_a_job_ends_follows_from_its_images(
    database: Database, statuses: list[ImageStatus], verdict: JobState
) -> None:
    job = plan(database, total=2, size=1)
    for status in statuses:
        assert commit(database, claim(database), status=status)
    assert [(f.job_id, f.state) for f in ledger.finish_jobs(database)] == [(job, verdict)]


def test_a_job_fails_as_a_whole_where_every_shard_would(database: Database) -> None:
    job = plan(database)
    assert ledger.fail_job(database, job, "the weights are gone", "model")
    assert not ledger.fail_job(database, job, "the weights are gone", "model")
    ended = queries.get_job(database, job)
    assert (ended.state, ended.error) == (JobState.FAILED, "the weights are gone")
    (failure,) = queries.failures(database, job)
    assert (failure["error_class"], failure["images"]) == ("model", 10)


def test_one_worker_does_not_fail_a_job_that_another_is_at_work_on(database: Database) -> None:
    """Only one worker has an old copy of the model or an unmounted disk; the other worker can continue."""
    job = plan(database)
    healthy = ledger.claim_shard(database, "healthy", "explain", 60)
    broken = ledger.claim_shard(database, "broken", "explain", 60)
    assert healthy is not None
    assert broken is not None
    assert healthy.job_id == broken.job_id == job
    assert not ledger.fail_job(database, job, "no such model", "model", worker="broken")
    assert ledger.release_shard(database, broken, "no such model", failure_class="model", transient=True)
    assert queries.get_job(database, job).state is JobState.RUNNING
    assert ledger.release_shard(database, healthy, "stopping")
    again = ledger.claim_shard(database, "broken", "explain", 60)
    assert again is not None
    assert ledger.fail_job(database, job, "no such model", "model", worker="broken"), "nobody shows otherwise"
    assert queries.get_job(database, job).state is JobState.FAILED


def test_a_commit_after_the_end_is_judged(database: Database) -> None:
    """The lease of a worker ran out, so another failed the job; then the first came back with finished images."""
    job = plan(database, total=4, size=2)
    late = claim(database, OVER)
    claim(database)
    assert ledger.fail_job(database, job, "no such model", "model", worker="worker")
    assert queries.get_job(database, job).state is JobState.FAILED
    assert commit(database, late)
    ended = queries.get_job(database, job)
    assert (ended.state, ended.error) == (JobState.PARTIAL, "no such model")
    assert commit(database, late), "the answer was lost"
    assert queries.get_job(database, job).state is JobState.PARTIAL


def test_a_commit_that_completes_a_failed_job_makes_it_succeed(database: Database) -> None:
    job = plan(database, total=2, size=2, notify=(NotifyTarget("webhook", "https://example.org/"),))
    late = claim(database, OVER)
    assert ledger.fail_job(database, job, "no such model", "model", worker="other")
    assert commit(database, late)
    ended = queries.get_job(database, job)
    assert (ended.state, ended.error) == (JobState.SUCCEEDED, None)
    told = ledger.take_outbox(database, 10, 60.0, "webhook")
    assert [message["payload"]["state"] for message in told] == ["failed", "succeeded"]


def test_a_late_commit_may_also_make_a_job_worse(database: Database) -> None:
    """A retry of good images was cancelled when one of them had been tried again in vain."""
    job = plan(database, total=2, size=2)
    finish_all(database)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job, [ImageStatus.OK])
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="second", total=2, shards=[(0, 2)])
    late = claim(database)
    ledger.cancel_job(database, job)
    assert queries.get_job(database, job).state is JobState.SUCCEEDED
    assert commit(database, late, 1, rows=[0], status=ImageStatus.ERROR)
    ended = queries.get_job(database, job)
    assert (ended.state, ended.error) == (
        JobState.PARTIAL,
        "its retry was cancelled; 1 of 2 images are error",
    )


def test_a_job_that_a_worker_ends_with_some_masks_has_a_report(database: Database) -> None:
    """Of such a job neither `summary.json` nor the list of its parts was written, from which it is rebuilt."""
    job = plan(database, total=4, size=2)
    assert commit(database, claim(database))
    assert ledger.fail_job(database, job, "no such model", "model")
    assert queries.get_job(database, job).state is JobState.PARTIAL
    assert claim_task(database, ControlKind.REPORT).job_id == job


def test_a_job_without_a_mask_has_no_report(database: Database) -> None:
    job = plan(database, total=4, size=2)
    assert ledger.fail_job(database, job, "no such model", "model")
    assert ledger.claim_control(database, "control", 60.0) is None


def test_a_worker_whose_lease_is_lost_fails_no_job(database: Database) -> None:
    """It was suspended, and came back with an old copy of the model while nobody else held a shard of the job."""
    job = plan(database, total=2, size=2)
    lost = claim(database, OVER)
    ledger.expire_leases(database)
    assert not ledger.fail_job(database, job, "no such model", "model", worker="worker", claim=lost)
    assert queries.get_job(database, job).state is JobState.RUNNING
    again = claim(database)
    assert not ledger.fail_job(database, job, "no such model", "model", worker="worker", claim=lost)
    assert ledger.fail_job(database, job, "no such model", "model", worker="worker", claim=again)

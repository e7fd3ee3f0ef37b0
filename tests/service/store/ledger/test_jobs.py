"""Pausing, cancelling, retrying and deleting a job."""

import pytest

from gfi.domain.states import TERMINAL, ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.ledger.leases import OTHER_RELEASES
from tests.service.store.ledger_actors import (
    claim,
    claim_task,
    commit,
    die,
    finish_all,
    part,
    plan,
    plan_claimed,
    recorded,
    records,
    states,
    submit,
)


def test_cancelling_keeps_what_is_finished_and_stops_the_rest(database: Database) -> None:
    job = plan(database, total=12)
    done, held = claim(database), claim(database)
    assert commit(database, done)
    assert ledger.cancel_job(database, job)
    assert not ledger.cancel_job(database, job)
    assert states(database, job) == [(0, 4, "done"), (4, 8, "leased"), (8, 12, "cancelled")]
    answer = ledger.renew_lease(database, held, 60.0, step=3, in_flight=[5])
    assert (answer.held, answer.wanted) == (True, "cancel")
    assert commit(database, held, upto=6)
    assert states(database, job)[1:] == [(4, 6, "done"), (6, 8, "cancelled"), (8, 12, "cancelled")]
    assert recorded(database, job) == dict.fromkeys(range(6), "ok")
    assert ledger.claim_shard(database, "w", "explain", 60.0) is None
    assert ledger.finish_jobs(database) == []
    assert queries.get_job(database, job).state is JobState.CANCELLED


def test_cancelling_while_planning_leaves_the_planner_with_nothing(database: Database) -> None:
    job = submit(database)
    task = claim_task(database, ControlKind.PLAN)
    ledger.cancel_job(database, job)
    assert not plan_claimed(database, task)
    assert not ledger.renew_control(database, task, 60.0).held
    assert states(database, job) == []


def test_a_paused_job_is_not_claimed_and_its_worker_is_told(database: Database) -> None:
    job = plan(database)
    held = claim(database)
    assert ledger.pause_job(database, job)
    assert not ledger.pause_job(database, job)
    assert ledger.renew_lease(database, held, 60.0).wanted == "pause"
    assert commit(database, held, upto=1)
    assert ledger.claim_shard(database, "w", "explain", 60.0) is None
    assert ledger.dispatch(database, 10, 60.0) == []
    assert queries.get_job(database, job).shown_state == "paused"
    assert ledger.resume_job(database, job)
    finish_all(database)
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    with pytest.raises(Conflict, match="succeeded"):
        ledger.pause_job(database, job)


def test_a_retry_replaces_what_failed_keeps_history_and_true_counts(database: Database) -> None:
    job = plan(database, total=6, size=3)
    assert commit(database, claim(database))
    assert commit(database, claim(database), status=ImageStatus.ERROR)
    assert ledger.finish_jobs(database)[0].state is JobState.PARTIAL
    with pytest.raises(NotFound):
        ledger.retry_job(database, "nosuchjob")
    assert ledger.retry_job(database, job).state is JobState.PLANNING
    with pytest.raises(Conflict, match="once it has ended"):
        ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    rows = list(queries.rows_with_status(database, job, task.payload["statuses"]))
    assert rows == [3, 4, 5]
    assert ledger.finish_retry(database, task, manifest_key="again", total=3, shards=[(0, 2), (2, 3)])
    assert ledger.finish_retry(database, task, manifest_key="again", total=3, shards=[(0, 2), (2, 3)])
    first = claim(database)
    assert (first.manifest_key, first.generation, first.start, first.stop) == ("again", 1, 0, 2)
    assert commit(database, first, rows=rows[:2])
    assert commit(database, claim(database), rows=rows[2:], status=ImageStatus.ERROR)
    assert ledger.finish_jobs(database)[0].state is JobState.PARTIAL
    progress = queries.job_progress(database, job)
    assert (progress.done, progress.by_status["ok"], progress.by_status["error"]) == (6, 5, 1)
    assert recorded(database, job) == {0: "ok", 1: "ok", 2: "ok", 3: "ok", 4: "ok", 5: "error"}
    assert [earlier.status for earlier in queries.earlier_results(database, job, 3)] == ["error"]
    # And once more: the error of the second attempt is an earlier result too.
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="third", total=1, shards=[(0, 1)])
    assert commit(database, claim(database), rows=[5])
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    assert [earlier.attempt for earlier in queries.earlier_results(database, job, 5)] == [1, 2]


def test_a_retry_goes_on_with_a_cancelled_job(database: Database) -> None:
    job = plan(database)
    assert commit(database, claim(database))
    ledger.cancel_job(database, job)
    ledger.retry_job(database, job)
    assert ledger.finish_retry(
        database, claim_task(database, ControlKind.RETRY), manifest_key=None, total=0, shards=[]
    )
    finish_all(database)
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    assert len(recorded(database, job)) == 10


def finish_reports(db: Database) -> int:
    """Do the reports that wait; returns how many."""
    done = 0
    while (task := ledger.claim_control(db, "w", 60.0)) is not None:
        assert task.kind is ControlKind.REPORT
        assert ledger.finish_control(db, task)
        done += 1
    return done


def _partial(db: Database) -> str:
    """A finished job of ten images of which two are errors."""
    job = plan(db)
    assert commit(db, claim(db), status=ImageStatus.OK)
    assert commit(db, claim(db), status=ImageStatus.OK)
    assert commit(db, claim(db), status=ImageStatus.ERROR)
    assert ledger.finish_jobs(db)[0].state is JobState.PARTIAL
    return job


def test_a_finished_job_whose_retry_is_cancelled_is_what_its_results_are(database: Database) -> None:
    job = _partial(database)
    ledger.retry_job(database, job)
    assert ledger.cancel_job(database, job)  # while its images are being collected
    stored = queries.get_job(database, job)
    assert (stored.state, stored.error) == (
        JobState.PARTIAL,
        "its retry was cancelled; 2 of 10 images are error",
    )
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="second", total=2, shards=[(0, 1), (1, 2)])
    held = claim(database)
    assert commit(database, claim(database), rows=[9])
    assert ledger.cancel_job(database, job)  # while they are explained
    assert queries.get_job(database, job).error == "its retry was cancelled; 1 of 10 images are error"
    with pytest.raises(Conflict, match="partial already"):
        ledger.cancel_job(database, job)
    assert ledger.renew_lease(database, held, 60.0).wanted == "cancel"
    assert commit(database, held, rows=[8])  # finished before its worker read the cancellation
    stored = queries.get_job(database, job)
    assert (stored.state, stored.error) == (JobState.SUCCEEDED, "its retry was cancelled")


def test_a_result_that_comes_after_the_end_has_the_summary_written_again(database: Database) -> None:
    """The worker finished its images before it read the cancellation: summary.json and committed.json lacked them."""
    job = _partial(database)
    assert finish_reports(database) == 1
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="second", total=2, shards=[(0, 1), (1, 2)])
    first, second = claim(database), claim(database)
    assert ledger.cancel_job(database, job)
    assert finish_reports(database) == 1
    assert commit(database, first, rows=[8])
    assert commit(database, second, rows=[9])
    assert finish_reports(database) == 1  # one of both: it had not begun when the second came
    assert recorded(database, job)[9] == "ok"


def test_a_retry_does_not_explain_the_images_of_a_cancelled_retry_twice(database: Database) -> None:
    job = _partial(database)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="second", total=2, shards=[(0, 1), (1, 2)])
    assert ledger.cancel_job(database, job)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert list(queries.rows_with_status(database, job, task.payload["statuses"])) == [8, 9]
    assert ledger.finish_retry(database, task, manifest_key="third", total=2, shards=[(0, 2)])
    held = claim(database)
    assert (held.manifest_key, held.generation, held.start, held.stop) == ("third", 2, 0, 2)
    assert ledger.claim_shard(database, "w", "explain", 60.0) is None
    assert commit(database, held, rows=[8, 9])
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    assert queries.job_progress(database, job).done == 10


def test_a_cancelled_or_failed_job_whose_retry_is_cancelled_is_cancelled(database: Database) -> None:
    for end in (
        lambda job: ledger.cancel_job(database, job),
        lambda job: ledger.fail_job(database, job, "no such model", "model"),
    ):
        job = plan(database)
        assert end(job)
        ledger.retry_job(database, job)
        task = claim_task(database, ControlKind.RETRY)
        assert ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
        assert ledger.cancel_job(database, job)
        assert queries.get_job(database, job).state is JobState.CANCELLED


def test_a_retry_waits_for_workers_that_still_hold_the_job(database: Database) -> None:
    job = plan(database)
    held = claim(database)
    ledger.cancel_job(database, job)
    for attempt in (ledger.retry_job, ledger.delete_job):
        with pytest.raises(Conflict, match="still releasing"):
            attempt(database, job)
    assert ledger.release_shard(database, held, "cancelled")
    assert {state for _, _, state in states(database, job)} == {"cancelled"}
    assert ledger.retry_job(database, job).state is JobState.PLANNING


def test_a_job_that_was_never_planned_is_planned_by_its_retry(database: Database) -> None:
    job = submit(database)
    ledger.fail_control(database, claim_task(database, ControlKind.PLAN), "no such directory", retry=False)
    assert ledger.retry_job(database, job).state is JobState.QUEUED
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN))
    assert queries.get_job(database, job).state is JobState.RUNNING


def test_a_retry_can_be_for_one_class_of_errors(database: Database) -> None:
    job = plan(database, total=2, size=2)
    held = claim(database)
    rows = [
        *records([0], ImageStatus.ERROR, error_class="unreadable"),
        *records([1], ImageStatus.ERROR, error_class="killer"),
    ]
    assert ledger.commit_shard(database, held, 2, part(held, 2), rows)
    assert ledger.finish_jobs(database)[0].state is JobState.FAILED
    assert ledger.retry_job(database, job, classes=["killer"]).state is JobState.PLANNING
    task = claim_task(database, ControlKind.RETRY)
    assert task.payload == {"statuses": ["changed", "error"], "classes": ["killer"]}
    chosen = queries.rows_with_status(database, job, task.payload["statuses"], task.payload["classes"])
    assert list(chosen) == [1]


def test_a_retry_by_class_leaves_what_failed_otherwise(database: Database) -> None:
    job = plan(database, total=6, size=3)
    for failure_class in ("memory", "internal"):
        for _ in range(OTHER_RELEASES):
            held = claim(database)
            assert ledger.release_shard(database, held, "no", failure_class=failure_class, delay_s=0.0)
    assert ledger.finish_jobs(database)[0].state is JobState.FAILED
    ledger.retry_job(database, job, classes=["internal"])
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
    assert states(database, job) == [(0, 3, "failed"), (3, 6, "pending")]
    assert commit(database, claim(database))
    assert ledger.finish_jobs(database)[0].state is JobState.PARTIAL


def test_a_quarantine_that_nobody_recorded_is_forgotten_by_a_retry(database: Database) -> None:
    job = plan(database, total=1)
    while die(database, claim(database), in_flight=[0]) != "quarantined":
        pass
    ledger.cancel_job(database, job)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
    assert claim(database).quarantined is None


def test_deleting_leaves_no_row_but_an_audit_entry(database: Database) -> None:
    job = plan(database)
    with pytest.raises(Conflict, match="cancel it first"):
        ledger.delete_job(database, job)
    finish_all(database)
    ledger.finish_jobs(database)
    orphans = [part.key for part in queries.iterate_parts(database, job)]
    assert set(queries.judge_parts(database, orphans).values()) == {"kept"}
    assert ledger.delete_job(database, job).prefixes == (f"jobs/{job}/", f"parts/{job}/", f"audits/{job}/")
    with pytest.raises(NotFound):
        queries.get_job(database, job)
    assert recorded(database, job) == {}
    assert queries.list_audit(database, job_id=job)[0]["action"] == "job.deleted"
    assert set(queries.judge_parts(database, orphans).values()) == {"orphan"}


def test_terminal_states_change_by_retry_alone(database: Database) -> None:
    job = plan(database, total=1)
    late = claim(database)
    ledger.cancel_job(database, job)
    assert commit(database, late)
    ledger.finish_jobs(database)
    ledger.expire_leases(database)
    assert queries.get_job(database, job).state is JobState.CANCELLED
    assert JobState.CANCELLED in TERMINAL

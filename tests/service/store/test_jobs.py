"""Jobs from submission to deletion, on SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from gfi.domain.records import ControlClaim, JobSpec
from gfi.domain.states import TERMINAL, ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database, now
from gfi.store.errors import Conflict, LimitExceeded, NotFound
from gfi.store.ledger.control import ATTEMPTS, DEATHS
from gfi.store.tables import control_tasks, scheduler_heartbeat
from tests.service.store.acting import (
    OVER,
    claim,
    claim_task,
    commit,
    finish_all,
    plan,
    plan_claimed,
    recorded,
    records,
    states,
    submit,
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


def test_a_used_idempotency_key_returns_its_job(database: Database) -> None:
    spec = JobSpec(config={"a": 1}, owner="ann", idempotency_key="k")
    first = ledger.submit_job(database, spec)
    again = ledger.submit_job(database, spec)
    assert (again.job_id, again.created) == (first.job_id, False)
    with pytest.raises(Conflict, match="belongs to job"):
        ledger.submit_job(database, JobSpec(config={"a": 2}, owner="ann", idempotency_key="k"))
    # Keys are their owner's: somebody else's same key means another job.
    assert ledger.submit_job(database, JobSpec(config={"a": 3}, owner="bob", idempotency_key="k")).created


def test_the_same_work_is_not_started_twice_unless_asked(database: Database) -> None:
    first = ledger.submit_job(database, JobSpec(config={"a": 1, "b": 2}))
    again = ledger.submit_job(database, JobSpec(config={"b": 2, "a": 1}))
    assert again.job_id == first.job_id
    assert again.reason == f"already running as {first.job_id}; --new starts another"
    assert ledger.submit_job(database, JobSpec(config={"a": 1, "b": 2}, new=True)).created
    assert ledger.submit_job(database, JobSpec(config={"a": 1})).created


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


def test_a_data_set_without_images_fails_its_job_with_the_reason(database: Database) -> None:
    job = submit(database)
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN), total=0)
    found = queries.get_job(database, job)
    assert (found.state, found.error) == (JobState.FAILED, "the dataset has no images")


def test_shards_that_leave_a_gap_are_refused(database: Database) -> None:
    job = submit(database)
    task = claim_task(database, ControlKind.PLAN)
    for gap in ([(0, 4), (5, 10)], [(0, 4), (4, 9)], [(0, 4), (3, 10)]):
        with pytest.raises(ValueError, match=r"follow|cover"):
            ledger.finish_planning(
                database, task, manifest_key="m", manifest_digest="d", total=10, shards=gap
            )
    assert queries.get_job(database, job).state is JobState.PLANNING
    assert states(database, job) == []


def test_a_planner_that_dies_is_replaced_and_then_writes_nothing(database: Database) -> None:
    job = submit(database)
    first = claim_task(database, ControlKind.PLAN, lease_s=OVER)
    assert ledger.claim_control(database, "other", 60.0) is None
    assert ledger.expire_control(database) == [first.task_id]
    second = claim_task(database, ControlKind.PLAN)
    assert second.fence > first.fence
    assert not plan_claimed(database, first, total=4)
    assert not ledger.renew_control(database, first, 60.0)
    assert plan_claimed(database, second, total=8)
    assert plan_claimed(database, second, total=8)  # its answer was lost; told again
    assert states(database, job) == [(0, 4, "pending"), (4, 8, "pending")]


def test_planning_is_given_up_after_five_attempts_with_the_reason(database: Database) -> None:
    job = submit(database)
    for _ in range(5):
        task = claim_task(database, ControlKind.PLAN)
        assert ledger.fail_control(database, task, "the bucket is away", delay_s=0.0)
    assert ledger.claim_control(database, "planner", 60.0) is None
    found = queries.get_job(database, job)
    assert (found.state, found.error) == (JobState.FAILED, "planning failed: the bucket is away")


def _planner_dies(database: Database) -> ControlClaim:
    """A planner claims, dies, and the pause after its death is over."""
    task = claim_task(database, ControlKind.PLAN, lease_s=OVER)
    assert ledger.expire_control(database) == [task.task_id]
    with database.begin() as connection:
        connection.execute(sa.update(control_tasks).values(not_before=0.0))
    return task


def test_a_planner_killed_again_and_again_costs_a_job_no_attempt(database: Database) -> None:
    job = submit(database)
    for _ in range(DEATHS - 1):
        _planner_dies(database)
    for _ in range(ATTEMPTS - 1):
        task = claim_task(database, ControlKind.PLAN)
        assert ledger.fail_control(database, task, "the bucket is away", delay_s=0.0)
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN))
    assert queries.get_job(database, job).state is JobState.RUNNING


def test_deaths_of_planners_are_pauses_apart_that_double(database: Database) -> None:
    submit(database)
    pauses = []
    for _ in range(5):
        task = claim_task(database, ControlKind.PLAN, lease_s=OVER)
        assert ledger.expire_control(database) == [task.task_id]
        with database.begin() as connection:
            pauses.append(connection.execute(sa.select(control_tasks.c.not_before - now())).scalar_one())
            connection.execute(sa.update(control_tasks).values(not_before=0.0))
    assert pauses == pytest.approx([0.0, 1.0, 2.0, 4.0, 8.0], abs=0.5)


def test_a_job_that_kills_every_planner_is_given_up_with_the_reason(database: Database) -> None:
    job = submit(database)
    for _ in range(DEATHS):
        _planner_dies(database)
    assert ledger.claim_control(database, "planner", 60.0) is None
    found = queries.get_job(database, job)
    assert found.state is JobState.FAILED
    assert (found.error or "").startswith(f"planning failed: {DEATHS} workers died over it")
    assert ledger.retry_job(database, job)
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN))


def test_where_planners_are_killed_all_the_time_no_job_is_given_up(database: Database) -> None:
    jobs = [submit(database) for _ in range(4)]
    with database.read() as connection:
        tasks = connection.execute(sa.select(control_tasks.c.id).order_by(control_tasks.c.id)).scalars().all()
    assert len(tasks) == len(jobs)
    for _ in range(3 * DEATHS):
        for task in tasks:
            claim = ledger.claim_control(database, "planner", OVER, prefer=task)
            assert claim is not None
            assert ledger.expire_control(database) == [task]
            with database.begin() as connection:
                connection.execute(sa.update(control_tasks).values(not_before=0.0))
    for _ in jobs:
        assert plan_claimed(database, claim_task(database, ControlKind.PLAN))
    assert {queries.get_job(database, job).state for job in jobs} == {JobState.RUNNING}


def test_a_planner_that_comes_back_takes_its_death_back(database: Database) -> None:
    job = submit(database)
    for _ in range(3 * DEATHS):
        assert not ledger.release_control(database, _planner_dies(database))
    assert queries.get_job(database, job).state is JobState.PLANNING


def test_an_outage_of_the_database_is_no_planners_death(database: Database) -> None:
    submit(database)
    task = claim_task(database, ControlKind.PLAN, lease_s=8.0)
    assert ledger.expire_leases(database) == []
    gap = 3600.0
    with database.begin() as connection:
        connection.execute(sa.update(scheduler_heartbeat).values(at=scheduler_heartbeat.c.at - gap))
        connection.execute(
            sa.update(control_tasks).values(
                lease_until=control_tasks.c.lease_until - gap, renewed_at=control_tasks.c.renewed_at - gap
            )
        )
    assert ledger.expire_leases(database) == []
    assert ledger.expire_control(database) == []
    assert plan_claimed(database, task)


def test_a_reason_that_time_does_not_heal_fails_planning_at_once(database: Database) -> None:
    job = submit(database)
    task = claim_task(database, ControlKind.PLAN)
    assert ledger.fail_control(database, task, "no such directory", retry=False)
    assert not ledger.fail_control(database, task, "too late")
    assert queries.get_job(database, job).state is JobState.FAILED


def test_a_planner_told_to_stop_uses_up_no_attempt(database: Database) -> None:
    submit(database)
    for _ in range(10):
        assert ledger.release_control(database, claim_task(database, ControlKind.PLAN))
    assert claim_task(database, ControlKind.PLAN).attempt == 1


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
    assert not ledger.renew_control(database, task, 60.0)
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
    assert [earlier["status"] for earlier in queries.earlier_results(database, job, 3)] == ["error"]
    # And once more: the second attempt's error is history too.
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="third", total=1, shards=[(0, 1)])
    assert commit(database, claim(database), rows=[5])
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    assert [earlier["attempt"] for earlier in queries.earlier_results(database, job, 5)] == [1, 2]


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


def test_a_retry_that_cannot_be_planned_returns_the_job_to_where_it_was(database: Database) -> None:
    job = plan(database, total=1)
    assert commit(database, claim(database), status=ImageStatus.ERROR)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job)
    ledger.fail_control(database, claim_task(database, ControlKind.RETRY), "no bucket", retry=False)
    found = queries.get_job(database, job)
    assert (found.state, found.error) == (JobState.FAILED, "the retry could not be planned: no bucket")


def test_a_job_that_was_never_planned_is_planned_by_its_retry(database: Database) -> None:
    job = submit(database)
    ledger.fail_control(database, claim_task(database, ControlKind.PLAN), "no such directory", retry=False)
    assert ledger.retry_job(database, job).state is JobState.QUEUED
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN))
    assert queries.get_job(database, job).state is JobState.RUNNING


def test_a_job_fails_as_a_whole_where_every_shard_would(database: Database) -> None:
    job = plan(database)
    assert ledger.fail_job(database, job, "the weights are gone", "model")
    assert not ledger.fail_job(database, job, "the weights are gone", "model")
    found = queries.get_job(database, job)
    assert (found.state, found.error) == (JobState.FAILED, "the weights are gone")
    (failure,) = queries.failures(database, job)
    assert (failure["error_class"], failure["images"]) == ("model", 10)


def test_one_worker_does_not_fail_a_job_that_another_is_at_work_on(database: Database) -> None:
    """Its copy of the model is old, its disk is not mounted: the other has both."""
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


def test_deleting_leaves_no_row_but_an_audit_entry(database: Database) -> None:
    job = plan(database)
    with pytest.raises(Conflict, match="cancel it first"):
        ledger.delete_job(database, job)
    finish_all(database)
    ledger.finish_jobs(database)
    orphans = [part.key for part in queries.iterate_parts(database, job)]
    assert set(queries.judge_parts(database, orphans).values()) == {"kept"}
    assert ledger.delete_job(database, job).prefixes == (f"jobs/{job}/", f"parts/{job}/")
    with pytest.raises(NotFound):
        queries.get_job(database, job)
    assert recorded(database, job) == {}
    assert queries.list_audit(database, job_id=job)[0]["action"] == "job.deleted"
    assert set(queries.judge_parts(database, orphans).values()) == {"orphan"}


def test_the_first_profile_is_frozen_and_replaced_only_by_who_knows_it(database: Database) -> None:
    job = plan(database)
    assert ledger.freeze_profile(database, job, {"batch": 8}, "cpu") == {"batch": 8}
    assert ledger.freeze_profile(database, job, {"batch": 4}, "cpu") == {"batch": 8}
    assert ledger.replace_profile(database, job, {"batch": 6}, {"batch": 2}) == {"batch": 8}
    assert ledger.replace_profile(database, job, {"batch": 8}, {"batch": 4}) == {"batch": 4}


def test_terminal_states_change_by_retry_alone(database: Database) -> None:
    job = plan(database, total=1)
    late = claim(database)
    ledger.cancel_job(database, job)
    assert commit(database, late)
    ledger.finish_jobs(database)
    ledger.expire_leases(database)
    assert queries.get_job(database, job).state is JobState.CANCELLED
    assert JobState.CANCELLED in TERMINAL


def test_results_that_are_not_the_shards_are_refused(database: Database) -> None:
    plan(database)
    held = claim(database)
    for rows, upto in (([0, 1, 2], 4), ([1, 2, 3, 4], 4), ([], 0), ([0, 1, 2, 3, 4], 5)):
        with pytest.raises(ValueError, match=r"images|rows|commit up to"):
            ledger.commit_shard(database, held, upto, None, records(rows))
    assert commit(database, held)

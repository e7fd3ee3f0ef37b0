"""A job that its audit makes longer, an instalment at a time, on both databases."""

import pytest
import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.records import ControlClaim, JobSpec
from gfi.domain.states import AuditState, ControlKind, JobState
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, LimitExceeded
from gfi.store.tables import audits, shards
from tests.service.store.ledger_actors import LEASE, claim, claim_task, commit, finish_all, recorded


def submitted(db: Database) -> tuple[str, str]:
    """A job that explains the rows 3 and 7 first, and its audit: (job, audit)."""
    spec = JobSpec(config={"number": new_id(), "sample": {"first": 2}}, owner="ada")
    options = {ledger.UNTIL_SETTLED: {"first": 2}, "classes": []}
    values = {"series": "s", "secret": "x", "settings": {}, "options": options}
    audit, made = ledger.submit_settling(db, spec, **values)
    assert made.created
    assert ledger.submit_settling(db, spec, **values)[0] == audit
    planning = claim_task(db, ControlKind.PLAN)
    assert ledger.finish_planning(
        db,
        planning,
        manifest_key="m",
        manifest_digest="d",
        total=2,
        shards=[(0, 2)],
        sampled_key="jobs/x/manifest-s-1",
    )
    return made.job_id, audit


def explained(db: Database, rows: list[int]) -> None:
    claimed = claim(db)
    assert (claimed.generation > 0, claimed.stop - claimed.start) == (True, len(rows))
    assert commit(db, claimed, rows=rows)
    assert ledger.finish_jobs(db) == []  # its audit decides


def confirming(db: Database) -> ControlClaim:
    claimed = ledger.claim_control(db, "worker", LEASE, wanted=ledger.Wanted("explain"))
    assert claimed is not None
    return claimed


def instalment(db: Database, task: ControlClaim, audit: str, **settling: float) -> bool:
    more = {"manifest_key": "jobs/x/manifest-s-2", "images": 2, "bounds": [(0, 2)]}
    plan = {"settling": settling}
    return ledger.finish_control(
        db, task, {}, lambda c: ledger.add_instalment(c, audit, task.task_id, plan, **more)
    )


def concluded(db: Database, task: ControlClaim, audit: str) -> bool:
    return ledger.finish_control(
        db, task, {}, lambda c: ledger.write_findings(c, audit, task.task_id, {}, [])
    )


def test_a_job_runs_until_its_audit_has_ended(database: Database) -> None:
    job, audit = submitted(database)

    def states() -> tuple[AuditState, JobState]:
        return queries.get_audit(database, audit).state, queries.get_job(database, job).state

    assert states() == (AuditState.EXPLAINING, JobState.RUNNING)
    explained(database, [3, 7])
    assert states() == (AuditState.SCREENING, JobState.RUNNING)
    assert ledger.finish_jobs(database) == []  # once, whoever looks
    assert instalment(database, claim_task(database, ControlKind.SCREEN), audit)
    assert states() == (AuditState.EXPLAINING, JobState.RUNNING)
    assert (queries.get_job(database, job).total, queries.get_job(database, job).generation) == (4, 2)
    explained(database, [1, 8])
    assert states() == (AuditState.CONFIRMING, JobState.RUNNING)
    task = confirming(database)
    assert concluded(database, task, audit)
    assert [(f.job_id, f.state) for f in ledger.finish_jobs(database)] == [(job, JobState.SUCCEEDED)]
    assert states() == (AuditState.DONE, JobState.SUCCEEDED)
    assert set(recorded(database, job)) == {1, 3, 7, 8}


def test_only_the_current_task_of_an_audit_is_retried_and_commits(database: Database) -> None:
    _, audit = submitted(database)
    explained(database, [3, 7])
    assert instalment(database, claim_task(database, ControlKind.SCREEN), audit)
    explained(database, [1, 8])
    first = confirming(database)
    assert ledger.cancel_audit(database, audit)
    ledger.confirm_audit(database, audit)
    second = confirming(database)
    assert instalment(database, second, audit)
    with pytest.raises(Conflict, match="has gone on with another task"):
        ledger.retry_task(database, first.task_id)  # it would test the first instalment's images again
    with pytest.raises(Conflict, match="has gone on with another task"), database.begin() as connection:
        ledger.write_findings(connection, audit, first.task_id, {}, [])
    with database.begin() as connection:
        ledger.write_findings(connection, audit, second.task_id, {}, [])
    with pytest.raises(Conflict, match="is done already"), database.begin() as connection:
        ledger.write_findings(connection, audit, second.task_id, {}, [])


def test_audits_of_one_owner_wait_for_its_tasks_and_not_for_each_other(database: Database) -> None:
    job, audit = submitted(database)
    explained(database, [3, 7])
    screening = claim_task(database, ControlKind.SCREEN)
    _, other = submitted(database)
    explained(database, [3, 7])
    screening_other = claim_task(database, ControlKind.SCREEN)
    ledger.create_token(database, "ada", ["submit"], limits={"max_active_jobs": 1})  # fewer than run already
    for task, its in ((screening, audit), (screening_other, other)):
        assert instalment(database, task, its)
        explained(database, [1, 8])
    assert queries.get_audit(database, audit).state is AuditState.CONFIRMING
    assert queries.get_audit(database, other).state is AuditState.EXPLAINING, "a task of its owner is open"
    assert concluded(database, confirming(database), audit)
    assert job in [finished.job_id for finished in ledger.finish_jobs(database)]
    ledger.finish_jobs(database)
    assert queries.get_audit(database, other).state is AuditState.CONFIRMING


def test_an_audit_that_was_restored_screens_no_images_that_test(database: Database) -> None:
    _, audit = submitted(database)
    explained(database, [3, 7])
    assert instalment(database, claim_task(database, ControlKind.SCREEN), audit)
    with database.begin() as connection:
        connection.execute(sa.update(audits).values(task_id=None))  # as from the files of the bucket
    explained(database, [1, 8])
    assert queries.get_audit(database, audit).state is AuditState.CONFIRMING


def test_the_time_that_a_job_had_devices_is_known_without_a_rate(database: Database) -> None:
    job, audit = submitted(database)
    assert queries.device_seconds(database, job) == 0.0
    explained(database, [3, 7])
    with database.begin() as connection:
        connection.execute(sa.update(shards).values(leased_at=shards.c.done_at - 200.0))
    assert queries.device_seconds(database, job) == pytest.approx(200.0)
    assert instalment(database, claim_task(database, ControlKind.SCREEN), audit)
    explained(database, [1, 8])
    assert concluded(database, confirming(database), audit)
    assert 200.0 <= queries.device_seconds(database, job) < 260.0


def limited(db: Database, seconds: int) -> str:
    return ledger.create_token(db, "ada", ["submit"], limits={"max_device_seconds": seconds})[0]


def test_the_time_that_an_audit_may_take_a_device_is_limited(database: Database) -> None:
    token = limited(database, 100)
    _, audit = submitted(database)
    explained(database, [3, 7])
    screening = claim_task(database, ControlKind.SCREEN)
    with pytest.raises(LimitExceeded, match="100 s together, and it would take 120 s"):
        instalment(database, screening, audit, estimate_s=30.0, device_s=120.0)
    assert instalment(database, screening, audit, estimate_s=30.0, device_s=90.0)
    other, _ = ledger.request_task(database, "register", {"a": 1}, owner="ada", estimate_s=80.0)
    explained(database, [1, 8])
    assert queries.get_audit(database, audit).state is not AuditState.CONFIRMING, "the other task comes first"
    ledger.cancel_task(database, other)
    assert ledger.revoke_token(database, token)
    limited(database, 50)  # less than it has taken: it tests nothing more, and ends
    ledger.finish_jobs(database)
    shown = queries.get_audit(database, audit)
    assert shown.state is AuditState.CONFIRMING
    assert shown.plan is not None
    assert "it would take 90 s" in shown.plan["settling"]["refused"]


def test_the_tests_of_an_instalment_count_with_the_tasks_of_their_owner(database: Database) -> None:
    limited(database, 100)
    _, audit = submitted(database)
    explained(database, [3, 7])
    assert instalment(
        database, claim_task(database, ControlKind.SCREEN), audit, estimate_s=30.0, device_s=90.0
    )
    explained(database, [1, 8])
    with pytest.raises(LimitExceeded, match="would take 110 s"):
        ledger.request_task(database, "register", {"a": 1}, owner="ada", estimate_s=80.0)


def test_an_audit_is_cancelled_between_its_steps_and_goes_on_after_its_job_has_ended(
    database: Database,
) -> None:
    job, audit = submitted(database)
    explained(database, [3, 7])
    ledger.fail_control(database, claim_task(database, ControlKind.SCREEN), "no mask", retry=False)
    ledger.finish_jobs(database)
    assert queries.get_job(database, job).state is JobState.SUCCEEDED
    with pytest.raises(Conflict, match="has ended"):
        ledger.cancel_audit(database, audit)
    ledger.confirm_audit(database, audit)
    assert queries.get_audit(database, audit).state is AuditState.SCREENING
    assert instalment(database, claim_task(database, ControlKind.SCREEN), audit)
    assert queries.get_job(database, job).state is JobState.RUNNING
    with pytest.raises(Conflict, match="under way already"):
        ledger.confirm_audit(database, audit)  # its images are being explained
    explained(database, [1, 8])
    task = confirming(database)
    assert ledger.cancel_audit(database, audit)  # while it tests
    assert not ledger.cancel_audit(database, audit)
    assert not instalment(database, task, audit)
    ledger.finish_jobs(database)
    ledger.retry_task(database, task.task_id)
    assert instalment(database, confirming(database), audit)
    assert queries.get_audit(database, audit).state is AuditState.EXPLAINING
    assert ledger.cancel_audit(database, audit)  # while its images are explained
    assert (queries.get_job(database, job).state, ledger.cancel_audit(database, audit)) == (
        JobState.CANCELLED,
        False,
    )


def test_the_job_ends_with_what_it_has_where_its_audit_ends_early(database: Database) -> None:
    job, audit = submitted(database)
    explained(database, [3, 7])
    task = claim_task(database, ControlKind.SCREEN)
    ledger.fail_control(database, task, "no mask", retry=False)
    assert [f.state for f in ledger.finish_jobs(database)] == [JobState.SUCCEEDED]
    assert queries.get_audit(database, audit).state is AuditState.FAILED

    job, audit = submitted(database)
    explained(database, [3, 7])
    task = claim_task(database, ControlKind.SCREEN)
    ledger.cancel_job(database, job)
    assert queries.get_audit(database, audit).state is AuditState.CANCELLED
    assert not instalment(database, task, audit)
    ledger.confirm_audit(database, audit)
    with pytest.raises(Conflict, match="explains no more images"):
        instalment(database, claim_task(database, ControlKind.SCREEN), audit)

    job, audit = submitted(database)
    ledger.cancel_job(database, job)  # while its first sample waits
    assert queries.get_audit(database, audit).state is AuditState.CANCELLED
    ledger.retry_job(database, job)
    retry = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, retry, manifest_key=None, total=0, shards=[])
    assert queries.get_audit(database, audit).state is AuditState.EXPLAINING
    finish_all(database)

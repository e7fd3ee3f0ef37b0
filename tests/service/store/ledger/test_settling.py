"""A job that its audit makes longer, an instalment at a time, on both databases."""

import pytest

from gfi.domain.ids import new_id
from gfi.domain.records import ControlClaim, JobSpec
from gfi.domain.states import AuditState, ControlKind, JobState
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict
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


def instalment(db: Database, task: ControlClaim, audit: str) -> bool:
    more = {"manifest_key": "jobs/x/manifest-s-2", "images": 2, "bounds": [(0, 2)]}
    return ledger.finish_control(db, task, {}, lambda c: ledger.add_instalment(c, audit, {"n": 1}, **more))


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
    assert ledger.finish_control(database, task, {}, lambda c: ledger.write_findings(c, audit, {}, []))
    assert [(f.job_id, f.state) for f in ledger.finish_jobs(database)] == [(job, JobState.SUCCEEDED)]
    assert states() == (AuditState.DONE, JobState.SUCCEEDED)
    assert set(recorded(database, job)) == {1, 3, 7, 8}


def test_other_work_of_its_owner_delays_an_audit_and_its_own_job_does_not(database: Database) -> None:
    token, _ = ledger.create_token(database, "ada", ["submit"], limits={"max_active_jobs": 2})
    job, audit = submitted(database)
    explained(database, [3, 7])
    assert instalment(database, claim_task(database, ControlKind.SCREEN), audit)
    other = ledger.submit_job(database, JobSpec(config={"number": new_id()}, owner="ada")).job_id
    assert ledger.revoke_token(database, token)
    ledger.create_token(database, "ada", ["submit"], limits={"max_active_jobs": 1})
    explained(database, [1, 8])
    assert queries.get_audit(database, audit).state is not AuditState.CONFIRMING, "another job is active"
    assert queries.get_job(database, job).state is JobState.RUNNING
    assert ledger.cancel_job(database, other)
    ledger.finish_jobs(database)
    assert queries.get_audit(database, audit).state is AuditState.CONFIRMING


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

    job, audit = submitted(database)
    ledger.cancel_job(database, job)  # while its first sample waits
    assert queries.get_audit(database, audit).state is AuditState.CANCELLED
    with pytest.raises(Conflict, match="explains no more images"), database.begin() as connection:
        ledger.add_instalment(connection, audit, {}, manifest_key="m", images=1, bounds=[(0, 1)])
    ledger.retry_job(database, job)
    retry = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, retry, manifest_key=None, total=0, shards=[])
    assert queries.get_audit(database, audit).state is AuditState.EXPLAINING
    finish_all(database)

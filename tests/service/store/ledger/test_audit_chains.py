"""Audits that go on from each other, on both databases: an audit is gone on from once."""

import pytest
import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec
from gfi.domain.states import AuditState, ControlKind
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.tables import audits
from tests.service.store.ledger.test_settling import concluded, confirming, explained, instalment
from tests.service.store.ledger_actors import claim_task


def submitted(db: Database, after: str | None = None) -> tuple[str, str]:
    """A job whose first sample is planned, and its audit: (job, audit)."""
    spec = JobSpec(config={"number": new_id(), "sample": {"first": 2}}, owner="ada")
    options = {ledger.UNTIL_SETTLED: {"first": 2, "after": after}, "classes": []}
    audit, made = ledger.submit_settling(db, spec, series="s", secret="x", settings={}, options=options)
    planning = claim_task(db, ControlKind.PLAN)
    shards = {"manifest_key": "m", "manifest_digest": "d", "total": 2, "shards": [(0, 2)]}
    assert ledger.finish_planning(db, planning, **shards, sampled_key="jobs/x/manifest-s-1")
    return made.job_id, audit


def carried_out(db: Database, audit: str) -> None:
    """Its first instalment is tested, and it ends."""
    explained(db, [3, 7])
    assert instalment(db, claim_task(db, ControlKind.SCREEN), audit)
    explained(db, [1, 8])
    assert concluded(db, confirming(db), audit)
    ledger.finish_jobs(db)


def test_an_audit_is_gone_on_from_once_also_when_the_later_one_was_deleted(database: Database) -> None:
    _, first = submitted(database)
    with pytest.raises(Conflict, match=f"audit {first} is under way"):
        submitted(database, first)
    carried_out(database, first)
    job, second = submitted(database, first)
    with pytest.raises(Conflict, match=f"audit {second} goes on from audit {first}: go on from that one"):
        submitted(database, first)
    carried_out(database, second)
    third_job, third = submitted(database, second)
    ledger.cancel_job(database, third_job)
    ledger.delete_job(database, job)
    with pytest.raises(
        Conflict, match=f"audit {second} went on from audit {first} and was deleted; begin anew"
    ):
        submitted(database, first)
    with pytest.raises(NotFound, match=f"audit {second} was deleted"):
        submitted(database, second)
    # One that was never screened gave nothing, and takes nothing with it.
    assert queries.get_audit(database, third).screened_at is None


def test_an_audit_that_ended_before_it_was_screened_makes_way_and_does_not_go_on_any_more(
    database: Database,
) -> None:
    job, first = submitted(database)
    carried_out(database, first)
    cancelled_job, cancelled = submitted(database, first)
    with pytest.raises(Conflict, match=f"audit {cancelled} goes on from audit {first}: go on from that one"):
        submitted(database, first)
    ledger.cancel_job(database, cancelled_job)
    _, failed = submitted(database, first)
    explained(database, [3, 7])
    screening = claim_task(database, ControlKind.SCREEN)
    assert ledger.fail_control(database, screening, "no image is left", retry=False)
    with pytest.raises(Conflict, match=f"audit {failed} goes on from audit {first}"):
        submitted(database, first)  # its job has not ended
    ledger.finish_jobs(database)
    assert queries.get_audit(database, failed).state is AuditState.FAILED
    _, last = submitted(database, first)
    for resumed in (
        lambda: ledger.retry_job(database, cancelled_job),
        lambda: ledger.confirm_audit(database, failed),
        lambda: ledger.retry_task(database, screening.task_id),
        lambda: ledger.retry_job(database, queries.get_audit(database, failed).job_id),
    ):
        with pytest.raises(Conflict, match=f"audit {last} goes on from audit {first} instead of"):
            resumed()
    # Without another one it goes on; the earlier one does not go on itself beside it.
    ledger.cancel_job(database, queries.get_audit(database, last).job_id)
    ledger.retry_job(database, queries.get_audit(database, last).job_id)
    with pytest.raises(Conflict, match=f"audit {last} goes on from audit {first}"):
        submitted(database, first)
    ledger.retry_job(database, job)


def test_an_audit_that_another_one_goes_on_from_does_not_go_on_itself(database: Database) -> None:
    job, first = submitted(database)
    explained(database, [3, 7])
    assert instalment(database, claim_task(database, ControlKind.SCREEN), first)
    explained(database, [1, 8])
    task = confirming(database)
    assert ledger.cancel_audit(database, first)
    ledger.finish_jobs(database)
    assert queries.get_audit(database, first).state is AuditState.CANCELLED
    _, second = submitted(database, first)
    for resumed in (
        lambda: ledger.confirm_audit(database, first),
        lambda: ledger.retry_task(database, task.task_id),
    ):
        with pytest.raises(Conflict, match=f"audit {second} goes on from audit {first}"):
            resumed()
    with database.begin() as connection:  # its task was not cancelled, as where its job was
        connection.execute(sa.update(audits).where(audits.c.id == first).values(task_id=None))
        connection.execute(
            sa.update(ledger.settling.jobs).where(ledger.settling.jobs.c.id == job).values(state="running")
        )
    assert job in [one.job_id for one in ledger.finish_jobs(database)]
    assert queries.get_audit(database, first).state is not AuditState.CONFIRMING

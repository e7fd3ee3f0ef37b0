"""One job's way through the ledger."""

from store import ledger
from store.database import Database
from store.records import JobSpec, PartRecord, ResultRecord, new_id
from store.tables import ControlKind, ImageStatus, JobState


def plan(db: Database, total=10, size=4, **spec) -> str:
    job = ledger.submit_job(db, JobSpec(config={"n": new_id()}, **spec)).job_id
    claim = ledger.claim_control(db, "planner", 60.0)
    assert claim is not None and claim.kind is ControlKind.PLAN and claim.job_id == job
    shards = [(s, min(s + size, total)) for s in range(0, total, size)]
    assert ledger.finish_planning(
        db, claim, manifest_key="m", manifest_digest="d", total=total, shards=shards
    )
    return job


def commit(db, claim, upto=None, status=ImageStatus.OK):
    upto = claim.stop if upto is None else upto
    rows = [
        ResultRecord(row=r, key=f"k{r}", status=status, part_row=r - claim.start)
        for r in range(claim.start, upto)
    ]
    part = PartRecord(new_id(), f"parts/{claim.shard_id}/{claim.fence}-{new_id()}", "0" * 64, 100, len(rows))
    return ledger.commit_shard(db, claim, upto, part, rows)


def test_a_job_runs_from_submission_to_success(database: Database) -> None:
    job = plan(database)
    assert len(ledger.dispatch(database, 64, 60.0)) == 3
    while (claim := ledger.claim_shard(database, "w", "explain", 60.0)) is not None:
        assert ledger.renew_lease(database, claim, 60.0, step=1, in_flight=[claim.start]).held
        assert commit(database, claim)
        assert commit(database, claim)  # the answer was lost: told again
    (finished,) = ledger.finish_jobs(database)
    assert finished.job_id == job
    assert finished.state is JobState.SUCCEEDED

"""A submitter, a planner and a worker, reduced to their calls of the ledger."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.queues import import_queue
from gfi.domain.records import ControlClaim, JobSpec, PartRecord, ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.ledger.importing import begin_import
from gfi.store.tables import incidents, results, shards

LEASE = 60.0
OVER = -1.0
"""A lease that has run out the moment it is given: time travel without a clock."""


def submit(db: Database, **spec: Any) -> str:
    """A job with a unique configuration."""
    return ledger.submit_job(db, JobSpec(**{"config": {"number": new_id()}} | spec)).job_id


def claim_task(db: Database, kind: ControlKind, lease_s: float = LEASE) -> ControlClaim:
    """The next control task, which must be of this kind; `report` tasks before it are done."""
    while True:
        claim = ledger.claim_control(db, "planner", lease_s)
        assert claim is not None
        if claim.kind is kind:
            return claim
        assert claim.kind is ControlKind.REPORT
        assert ledger.finish_control(db, claim)


def plan(db: Database, total: int = 10, size: int = 4, **spec: Any) -> str:
    """A job of `total` images in shards of `size`, running."""
    job = submit(db, **spec)
    claim = claim_task(db, ControlKind.PLAN)
    assert claim.job_id == job
    assert plan_claimed(db, claim, total, size)
    return job


def plan_claimed(db: Database, claim: ControlClaim, total: int = 10, size: int = 4) -> bool:
    """Finish a planning task."""
    stretches = [(start, min(start + size, total)) for start in range(0, total, size)]
    return ledger.finish_planning(
        db, claim, manifest_key="jobs/x/manifest", manifest_digest="d", total=total, shards=stretches
    )


def begin(db: Database, job: str, task: ControlClaim | None = None, owner: str = "ada") -> bool:
    """Begin an import of one image, as a task does."""
    spec = JobSpec(config={"dataset": {"spec": "d"}, "method": "m", "number": new_id()}, owner=owner)
    spec = replace(spec, queue=import_queue(job), new=True)
    return begin_import(
        db,
        job,
        spec,
        manifest_key="jobs/x/manifest",
        manifest_digest="d",
        total=1,
        shards=[(0, 1)],
        metadata={},
        task=task,
    )


def claim(db: Database, lease_s: float = LEASE, **how: Any) -> ShardClaim:
    """A shard; there must be one."""
    claimed = ledger.claim_shard(db, "worker", "explain", lease_s, **how)
    assert claimed is not None
    return claimed


def records(rows: Sequence[int], status: ImageStatus = ImageStatus.OK, **columns: Any) -> list[Result]:
    """A result for each row."""
    return [Result(row=row, key=f"{row}.jpg", status=status, **columns) for row in rows]


def part(claimed: ShardClaim, rows: int) -> PartRecord:
    """A part as if it had been uploaded."""
    key = f"parts/{claimed.job_id}/{claimed.shard_id}/{claimed.fence}-{new_id()}.parquet"
    return PartRecord(new_id(), key, "0" * 64, 100, rows)


def commit(
    db: Database,
    claimed: ShardClaim,
    upto: int | None = None,
    status: ImageStatus = ImageStatus.OK,
    rows: Sequence[int] | None = None,
) -> bool:
    """Commit [start, upto), by default all of it, every image with the same status."""
    upto = claimed.stop if upto is None else upto
    rows = range(claimed.start, upto) if rows is None else rows
    return ledger.commit_shard(db, claimed, upto, part(claimed, len(rows)), records(rows, status))


def finish_all(db: Database) -> None:
    """Do all claimable work."""
    while (claimed := ledger.claim_shard(db, "worker", "explain", LEASE)) is not None:
        assert commit(db, claimed)


def die(db: Database, claimed: ShardClaim, in_flight: Sequence[int] = (), finished: int = 0) -> str:
    """The worker dies with these images in flight and its lease expires; returns the state of the shard.

    A shard that would wait before its next attempt is claimable at once.
    """
    assert ledger.renew_lease(db, claimed, OVER, step=1, in_flight=in_flight, finished=finished).held
    (expired,) = ledger.expire_leases(db)
    assert expired.shard_id == claimed.shard_id
    with db.begin() as connection:
        connection.execute(sa.update(shards).where(shards.c.id == claimed.shard_id).values(not_before=0.0))
    return expired.outcome


def states(db: Database, job: str) -> list[tuple[int, int, str]]:
    """(start, stop, state) of every shard of a job's own manifest."""
    query = sa.select(shards.c.start, shards.c.stop, shards.c.state).where(
        shards.c.job_id == job, shards.c.generation == 0
    )
    with db.read() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(shards.c.start))]


def recorded(db: Database, job: str) -> dict[int, str]:
    """Status by row, of the current results."""
    query = sa.select(results.c.row, results.c.status).where(results.c.job_id == job)
    with db.read() as connection:
        pairs = [tuple(row) for row in connection.execute(query)]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def noted(db: Database, job: str, kind: str) -> int:
    """How many incidents of a kind a job has."""
    query = sa.select(sa.func.count()).where(incidents.c.job_id == job, incidents.c.kind == kind)
    with db.read() as connection:
        return connection.execute(query).scalar_one()

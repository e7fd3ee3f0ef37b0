"""Planning."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import (
    ControlClaim,
)
from gfi.domain.states import JobState
from gfi.store.database import Database, now
from gfi.store.errors import LimitExceeded
from gfi.store.ledger.control import finish_task
from gfi.store.ledger.endings import end_planning
from gfi.store.ledger.guards import job_transition, lock_job
from gfi.store.ledger.shards import insert_shards, reopen
from gfi.store.tables import jobs


def finish_planning(
    db: Database,
    claim: ControlClaim,
    *,
    manifest_key: str,
    manifest_digest: str,
    total: int,
    shards: Iterable[tuple[int, int]],
    facts: Mapping[str, Any] | None = None,
    listing_digest: str | None = None,
    max_images: int | None = None,
) -> bool:
    """planning → running, with every shard [start, stop) of the manifest, in one transaction.

    A manifest without images fails the job, one above `max_images` raises LimitExceeded. Returns False when
    the claim is no longer held; True also when this very claim had planned it before.
    """
    assert claim.job_id is not None
    if max_images is not None and total > max_images:
        raise LimitExceeded(
            f"the data set has {total} images, GFI_MAX_IMAGES_PER_JOB allows {max_images}; split it"
        )
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id)
        if not finish_task(connection, claim, {"total": total}):
            return False
        if job.manifest_key is not None:
            return True  # planned by this claim: the client did not hear of its own commit
        planned = {
            "manifest_key": manifest_key,
            "manifest_digest": manifest_digest,
            "total": total,
            "facts": dict(facts or {}),
            "planned_at": now(),
        }
        if listing_digest is not None:
            planned["listing_digest"] = listing_digest
        if total == 0:
            end_planning(connection, claim.job_id, JobState.FAILED, "the data set has no images")
            return True
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == claim.job_id, job_transition(JobState.PLANNING, JobState.RUNNING))
            .values(state=JobState.RUNNING.value, state_before=None, **planned)
        )
        covered = insert_shards(connection, claim.job_id, 0, manifest_key, shards)
        if covered != total:
            raise ValueError(f"shards cover {covered} of {total} images")
        return True


def finish_retry(
    db: Database,
    claim: ControlClaim,
    *,
    manifest_key: str | None,
    total: int,
    shards: Iterable[tuple[int, int]],
) -> bool:
    """planning → running: shards over the retry's own manifest (of `total` rows; None when no row had one
    of the wanted statuses), and shards that failed or were cancelled pending again, their record in
    `incidents`. With nothing to do at all the job returns to the state it had; but one that was cancelled when its
    last shard had just been committed is complete, and runs on to its verdict. False when too late.
    """
    assert claim.job_id is not None
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id)
        already = job.state != JobState.PLANNING or job.generation != claim.generation
        if not finish_task(connection, claim, {"total": total}):
            return False
        if already:
            return True
        opened = reopen(connection, claim.job_id, claim.payload.get("classes", ()))
        if total and manifest_key is not None:
            covered = insert_shards(connection, claim.job_id, job.generation, manifest_key, shards)
            if covered != total:
                raise ValueError(f"shards cover {covered} of {total} images")
        before = JobState(job.state_before)
        if not total and not opened and before is not JobState.CANCELLED:
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == claim.job_id, job_transition(JobState.PLANNING, before))
                .values(state=before.value, state_before=None, finished_at=now())
            )
            return True
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == claim.job_id, job_transition(JobState.PLANNING, JobState.RUNNING))
            .values(state=JobState.RUNNING.value, state_before=None)
        )
        return True

"""The end of planning: shards are inserted and the job runs.

planning → running
"""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import ControlClaim
from gfi.domain.states import JobState
from gfi.store.database import Database, now
from gfi.store.errors import LimitExceeded
from gfi.store.ledger.carrying import carried_images
from gfi.store.ledger.control import finish_task
from gfi.store.ledger.endings import end_planning, verdict
from gfi.store.ledger.guards import job_transition, lock_job
from gfi.store.ledger.limits import admit_images
from gfi.store.ledger.shards import insert_shard, insert_shards, reopen
from gfi.store.tables import jobs


def finish_planning(
    db: Database,
    claim: ControlClaim,
    *,
    manifest_key: str,
    manifest_digest: str,
    total: int,
    shards: Iterable[tuple[int, int]],
    refused: Iterable[tuple[int, int]] = (),
    metadata: Mapping[str, Any] | None = None,
    listing_digest: str | None = None,
    profile: Mapping[str, Any] | None = None,
    removed: int | None = None,
    sampled_key: str | None = None,
    max_images: int | None = None,
    queue: str | None = None,
) -> bool:
    """planning → running, with every shard [start, stop) of the manifest, in one transaction.

    Of an incremental job: `refused` are the shards of images that could not be carried over, and the carried images are
    counted; `profile` is the execution profile of the earlier job, None if it is not inherited; `removed`: how many
    images the dataset has lost since, None for a job without an earlier one.

    sampled_key: of a job that begins with a sample: the manifest of its `total` rows, which the shards are cut from.

    queue: another one than the job was submitted to.

    metadata: what planning found out about the dataset. A manifest without images fails the job, one with
    more than `max_images` raises LimitExceeded. Returns False when the claim is no longer held, and True
    again when this claim has planned the job before.
    """
    assert claim.job_id is not None
    if max_images is not None and total > max_images:
        raise LimitExceeded(
            f"the dataset has {total} images, GFI_MAX_IMAGES_PER_JOB allows {max_images}; split it"
        )
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id)
        if not finish_task(connection, claim, {"total": total}):
            return False
        admit_images(connection, job.owner, total)
        if job.manifest_key is not None:
            return True  # planned by this claim, whose worker did not receive the answer
        planned = {
            "manifest_key": manifest_key,
            "manifest_digest": manifest_digest,
            "total": total,
            "facts": dict(metadata or {}),
            "planned_at": now(),
        }
        if queue is not None:
            planned["queue"] = queue
        if listing_digest is not None:
            planned["listing_digest"] = listing_digest
        if total == 0:
            end_planning(connection, claim.job_id, JobState.FAILED, "the dataset has no images")
            return True
        if sampled_key is not None:
            planned["generation"] = 1  # rows of a manifest of its own, as a retry's
        generation, key = (0, manifest_key) if sampled_key is None else (1, sampled_key)
        covered = insert_shards(connection, claim.job_id, generation, key, shards)
        if removed is not None:
            carried = carried_images(connection, claim.job_id)
            planned |= {"removed": removed, "carried": carried}
            if carried and profile is not None:
                planned |= {"profile": dict(profile), "device_kind": profile.get("device_kind")}
            covered += carried
            for start, stop in refused:
                insert_shard(connection, claim.job_id, 0, manifest_key, start, stop)
                covered += stop - start
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == claim.job_id, job_transition(JobState.PLANNING, JobState.RUNNING))
            .values(state=JobState.RUNNING.value, state_before=None, **planned)
        )
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
    """planning → running, for a retry: with new shards, and with failed and cancelled shards pending again.

    manifest_key: of the manifest of `total` rows; None when no row has a status that is to be retried. If there is
    nothing to do, the job returns to the state before; except that a job that a worker completed after it was cancelled
    goes to running, so that it ends with the state of its results. Returns False when the claim is no longer held.
    """
    assert claim.job_id is not None
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id)
        already = job.state != JobState.PLANNING or job.generation != claim.generation
        if not finish_task(connection, claim, {"total": total}):
            return False
        if already:
            return True
        admit_images(connection, job.owner, total)
        alone = bool(claim.payload.get("rows"))  # then shards that failed are not asked for
        opened = 0 if alone else reopen(connection, claim.job_id, claim.payload.get("classes", ()))
        if total and manifest_key is not None:
            covered = insert_shards(connection, claim.job_id, job.generation, manifest_key, shards)
            if covered != total:
                raise ValueError(f"shards cover {covered} of {total} images")
        before = JobState(job.state_before)
        completed = before is JobState.CANCELLED or (
            before is not JobState.SUCCEEDED and verdict(connection, job)[0] is JobState.SUCCEEDED
        )
        if not total and not opened and not completed:
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == claim.job_id, job_transition(JobState.PLANNING, before))
                .values(state=before.value, state_before=None, finished_at=now())
            )
            return True
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == claim.job_id, job_transition(JobState.PLANNING, JobState.RUNNING))
            .values(state=JobState.RUNNING.value)
        )
        return True


def save_fact(connection: sa.Connection, job_id: str, name: str, value: Any) -> None:
    """Add one entry to the facts of a job, in a transaction that has locked it."""
    facts = connection.execute(sa.select(jobs.c.facts).where(jobs.c.id == job_id)).scalar() or {}
    connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(facts={**facts, name: value}))

"""Restoring a job in an empty ledger from its files in the bucket, which `gfi.store.rebuild` reads.

    (nothing) → planning → running

`begin_restore` inserts the row of the job, `restore_part` a done shard with its part and results, `end_restore` pending
shards for the images that no part covers. Each is a transaction of its own and does nothing when it is repeated, so a
rebuild that was killed is started again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import digest
from gfi.domain.mean_masks import MeanMasks
from gfi.domain.records import CommittedPart
from gfi.domain.result import Result
from gfi.domain.states import JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.store.database import Database, insert, now
from gfi.store.ledger.audit import record
from gfi.store.ledger.carrying import carried_images
from gfi.store.ledger.commits import count_statuses, insert_results, replace_current
from gfi.store.ledger.deletion import TABLES
from gfi.store.ledger.guards import job_transition, lock_job
from gfi.store.ledger.shards import insert_shard
from gfi.store.ledger.sums import each_label, insert_sums, sums_of
from gfi.store.tables import control_tasks, jobs, parts, shards

CARRIED = ("name", "owner", "queue", "priority", "tags", "notify")
"""The columns of a job that are in `job.json` by their names; earlier versions wrote fewer."""
# Above every fence that was given before the loss: a worker that still runs from then commits nothing into restored
# shards.
FIRST_FENCE = 1_000_000


def begin_restore(db: Database, job: Mapping[str, Any]) -> bool:
    """(nothing) → planning, from the content of `job.json`.

    Returns False when the ledger has the job already, unless a rebuild of the job was interrupted.
    """
    manifest = job["manifest"]
    with db.begin() as connection:
        created = connection.execute(
            insert(connection, jobs)
            .values(
                id=job["job"],
                **{name: job[name] for name in CARRIED if name in job},
                state=JobState.PLANNING.value,
                config=job["config"],
                config_digest=digest(job["config"]),
                model=job.get("model"),
                manifest_key=manifest["key"],
                manifest_digest=manifest["sha256"],
                total=manifest["count"],
                facts=job.get("facts"),
                since=(job.get("facts") or {}).get("since") and {"job": job["facts"]["since"]["job"]},
                created_at=now(),
            )
            .on_conflict_do_nothing()
            .returning(jobs.c.id)
        ).scalar()
        if created is not None:
            # Results that its deletion had left, where its objects are still there.
            for table in TABLES:
                connection.execute(sa.delete(table).where(table.c.job_id == job["job"]))
            return True
        # A job that is being planned has a control task for it; one that is being restored has none.
        task = sa.exists().where(control_tasks.c.job_id == jobs.c.id)
        interrupted = sa.select(jobs.c.id).where(
            jobs.c.id == job["job"], jobs.c.state == JobState.PLANNING.value, ~task
        )
        return connection.execute(interrupted).scalar() is not None


def restore_part(
    db: Database,
    part: CommittedPart,
    generation: int,
    profile: Mapping[str, Any],
    rows: Sequence[Result],
) -> bool:
    """(nothing) → done: a shard with its part and results, as after its commit.

    Later attempts replace earlier ones, so parts must be restored in the order of their commits. Returns False when
    another shard already has some of its rows.
    """
    with db.begin() as connection:
        job = lock_job(connection, part.job_id)
        overlap = sa.select(shards.c.id).where(
            shards.c.job_id == part.job_id,
            shards.c.generation == generation,
            shards.c.start < part.stop,
            shards.c.stop > part.start,
        )
        if connection.execute(overlap).first() is not None:
            return False
        counts, sums = count_statuses(rows), sums_of(rows, each_label(job.config))
        if generation:
            counts = replace_current(connection, job, rows, counts, sums)
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == part.job_id, jobs.c.generation < generation)
                .values(generation=generation)
            )
        insert_shard(
            connection,
            part.job_id,
            generation,
            part.manifest_key,
            part.start,
            part.stop,
            ShardState.DONE,
            fence=part.fence,
            leased_at=part.created_at,
            done_at=part.created_at,
            part_id=part.id,
            **{f"n_{status}": number for status, number in counts.items()},
        )
        insert_sums(connection, part.job_id, part.shard_id, sums, MeanMasks.of(rows, each_label(job.config)))
        connection.execute(sa.insert(parts).values(**part.__dict__, masks_counted=True))
        insert_results(
            connection,
            rows,
            job_id=part.job_id,
            part_id=part.id,
            shard_id=part.shard_id,
            fence=part.fence,
            created_at=part.created_at,
        )
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == part.job_id, jobs.c.profile.is_(None))
            .values(profile=dict(profile), device_kind=profile.get("device_kind"))
        )
        return True


def end_restore(db: Database, job_id: str, size: int) -> int:
    """planning → running, with pending shards of at most `size` images for the images that no part covers.

    Returns the number of these images. A job with such images is paused until a person resumes it, since it
    may have been cancelled before the loss.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state != JobState.PLANNING:
            return 0
        done = sa.select(shards.c.start, shards.c.stop).where(
            shards.c.job_id == job_id, shards.c.generation == 0
        )
        spans = sorted(tuple(span) for span in connection.execute(done))
        missing = []
        covered = 0
        # Of a job that explained samples of its listing, what it has is all there is.
        sampled = bool((job.config or {}).get("sample"))
        total = _recorded(connection, job_id) if sampled else job.total
        if sampled:
            spans = [(0, total)]
        for start, stop in [*spans, (total, total)]:
            missing += [(begin, min(begin + size, start)) for begin in range(covered, start, size)]
            covered = stop
        incremental = {}
        if job.since is not None:
            removed = (job.facts or {}).get("since", {}).get("removed", 0)
            incremental = {"carried": carried_images(connection, job_id), "removed": removed}
        for start, stop in missing:
            insert_shard(connection, job_id, 0, job.manifest_key, start, stop, fence=FIRST_FENCE)
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_transition(JobState.PLANNING, JobState.RUNNING))
            .values(
                state=JobState.RUNNING.value,
                paused=bool(missing),
                planned_at=now(),
                total=total,
                **incremental,
            )
        )
        images = sum(stop - start for start, stop in missing)
        record(connection, "rebuild", "job.restored", job_id, {"images": total, "missing": images})
        return images


def _recorded(connection: sa.Connection, job_id: str) -> int:
    """How many images have a result."""
    counted = sum((shards.c[f"n_{status}"] for status in ImageStatus), start=sa.literal(0))
    return int(
        connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(counted), 0)).where(shards.c.job_id == job_id)
        ).scalar_one()
    )

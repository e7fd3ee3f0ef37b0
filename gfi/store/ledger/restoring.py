"""Writing a job back into an empty ledger from what the bucket kept of it.

    (nothing) → planning → running

`begin_restore` makes the job's row, `restore_part` a done shard with its part and results, `end_restore` pending
shards for what no part covers. Each is a transaction of its own and finds its work done when repeated, so a
rebuilding that was killed is simply started again. Reading the bucket is `gfi.store.rebuild`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import digest
from gfi.domain.records import CommittedPart, ResultRecord
from gfi.domain.states import JobState, ShardState
from gfi.store.database import Database, insert, now
from gfi.store.ledger.control import shard_id
from gfi.store.ledger.guards import job_moves, lock_job
from gfi.store.ledger.jobs import record
from gfi.store.ledger.shards import count_statuses, replace_current
from gfi.store.tables import control_tasks, jobs, parts, results, shards

# Above every fence handed out before the loss: a worker that outlived the database commits nothing into the
# restored shards.
FIRST_FENCE = 1_000_000


def begin_restore(db: Database, job: Mapping[str, Any]) -> bool:
    """(nothing) → planning, from the contents of `job.json`. Returns False when the job is here already,
    unless a rebuilding of it was interrupted.
    """
    manifest = job["manifest"]
    with db.begin() as connection:
        created = connection.execute(
            insert(connection, jobs)
            .values(
                id=job["job"],
                name=job.get("name", ""),
                owner=job.get("owner", ""),
                queue=job.get("queue", "explain"),
                priority=job.get("priority", 0),
                state=JobState.PLANNING.value,
                config=job["config"],
                config_digest=digest(job["config"]),
                model=job.get("model"),
                manifest_key=manifest["key"],
                manifest_digest=manifest["sha256"],
                total=manifest["count"],
                facts=job.get("facts"),
                created_at=now(),
            )
            .on_conflict_do_nothing()
            .returning(jobs.c.id)
        ).scalar()
        if created is not None:
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
    rows: Sequence[ResultRecord],
) -> bool:
    """A done shard with its part and results, as its commit had left them. Later attempts replace earlier ones,
    so parts must come in the order of their commits. False when rows of it are in another shard already.
    """
    with db.begin() as connection:
        lock_job(connection, part.job_id)
        overlap = sa.select(shards.c.id).where(
            shards.c.job_id == part.job_id,
            shards.c.generation == generation,
            shards.c.start < part.stop,
            shards.c.stop > part.start,
        )
        if connection.execute(overlap).first() is not None:
            return False
        counts = count_statuses(rows)
        if generation:
            counts = replace_current(connection, part.job_id, rows, counts)
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == part.job_id, jobs.c.generation < generation)
                .values(generation=generation)
            )
        connection.execute(
            sa.insert(shards).values(
                id=shard_id(part.job_id, generation, part.start),
                job_id=part.job_id,
                manifest_key=part.manifest_key,
                generation=generation,
                start=part.start,
                stop=part.stop,
                state=ShardState.DONE.value,
                fence=part.fence,
                leased_at=part.created_at,
                done_at=part.created_at,
                part_id=part.id,
                **{f"n_{status}": number for status, number in counts.items()},
            )
        )
        connection.execute(sa.insert(parts).values(**part.__dict__))
        common = {
            "job_id": part.job_id,
            "part_id": part.id,
            "shard_id": part.shard_id,
            "fence": part.fence,
            "created_at": part.created_at,
        }
        connection.execute(sa.insert(results), [row.columns() | common for row in rows])
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == part.job_id, jobs.c.profile.is_(None))
            .values(profile=dict(profile), device_kind=profile.get("device_kind"))
        )
        return True


def end_restore(db: Database, job_id: str, size: int) -> int:
    """planning → running, with pending shards of at most `size` images for what no part covers. Returns how
    many images that are. A job with images left is paused: whether it was cancelled before the loss nobody
    knows, so a person resumes it.
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
        for start, stop in [*spans, (job.total, job.total)]:
            missing += [(begin, min(begin + size, start)) for begin in range(covered, start, size)]
            covered = stop
        for start, stop in missing:
            connection.execute(
                sa.insert(shards).values(
                    id=shard_id(job_id, 0, start),
                    job_id=job_id,
                    manifest_key=job.manifest_key,
                    start=start,
                    stop=stop,
                    state=ShardState.PENDING.value,
                    fence=FIRST_FENCE,
                )
            )
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_moves(JobState.PLANNING, JobState.RUNNING))
            .values(state=JobState.RUNNING.value, paused=bool(missing), planned_at=now())
        )
        images = sum(stop - start for start, stop in missing)
        record(connection, "rebuild", "job.restored", job_id, {"images": job.total, "missing": images})
        return images

"""The end of a job; its cancellation is in `gfi.store.ledger.jobs`.

planning → failed (a retry: → the state before)
running → succeeded | partial | failed; not yet, while its audit until settled goes on
succeeded | partial | failed → another of these, by a commit that arrives after the end
"""

from typing import Any

import sqlalchemy as sa

from gfi.domain.records import Finished, ShardClaim
from gfi.domain.states import JUDGED, OPEN, ControlKind, JobState, ShardState
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.store.database import Database, now
from gfi.store.ledger.control_requests import add_job_task
from gfi.store.ledger.guards import has_shard, job_transition, lock_job
from gfi.store.ledger.leases import is_held
from gfi.store.ledger.outbox import announce
from gfi.store.ledger.settling import continues
from gfi.store.ledger.shards import close_pending
from gfi.store.others_go_on import others_go_on
from gfi.store.tables import in_state, jobs, shards


def finish_jobs(db: Database) -> list[Finished]:
    """running → succeeded | partial | failed, for every job without pending or leased shards.

    The counts are sums over the counters of its shards. The same transaction writes the messages of the
    outbox and, where some image has a mask, a `report` task.
    """
    open_shards = sa.or_(*map(has_shard, sorted(OPEN)))
    with db.read() as connection:
        query = sa.select(jobs.c.id).where(in_state(jobs, JobState.RUNNING), ~open_shards)
        candidates = connection.execute(query).scalars().all()
    finished = []
    for job_id in candidates:
        with others_go_on("job not finished", job=job_id), db.begin() as connection:
            after = _finish(connection, job_id, ~open_shards)
            if after is not None:
                finished.append(Finished(job_id, after))
    return finished


def _finish(connection: sa.Connection, job_id: str, without_open: sa.ColumnElement[bool]) -> JobState | None:
    """The state in which the job has ended now; None where it goes on, or had ended."""
    job = lock_job(connection, job_id)
    if job.state == JobState.RUNNING and continues(connection, job):
        return None
    after, error = verdict(connection, job)
    changed = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, job_transition(JobState.RUNNING, after), without_open)
        .values(state=after.value, paused=False, error=error, finished_at=now(), state_before=None)
    )
    if not changed.rowcount:
        return None
    announce(connection, job_id, after)
    if after is not JobState.FAILED:
        add_job_task(connection, ControlKind.REPORT, job)
    return after


def fail_job(
    db: Database,
    job_id: str,
    error: str,
    failure_class: str,
    worker: str | None = None,
    claim: ShardClaim | None = None,
) -> bool:
    """running → failed (→ partial, where some images have a mask), because of an error that would occur in every shard.

    Such an error is not caused by an image: a model that cannot be loaded, a manifest that is gone. Waiting shards fail
    with the same reason. Returns False when the job had ended, or when another worker than `worker` is working on it:
    then the error concerns only `worker`. Likewise when `claim`, under which the error was met, is no longer held: a
    worker that was suspended and comes back with an old copy of a model says nothing about the job.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state != JobState.RUNNING:
            return False
        if claim is not None:
            held = sa.select(shards.c.id).where(is_held(claim))
            if connection.execute(held).scalar() is None:
                return False
        if worker is not None:
            leased = sa.and_(in_state(shards, ShardState.LEASED), shards.c.lease_until >= now())
            at_work = sa.exists().where(shards.c.job_id == job_id, leased, shards.c.worker != worker)
            if connection.execute(sa.select(at_work)).scalar_one():
                return False
        without_masks = verdict(connection, job)[0] is JobState.FAILED
        after = JobState.FAILED if without_masks else JobState.PARTIAL
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_transition(JobState.RUNNING, after))
            .values(state=after.value, paused=False, error=error, finished_at=now(), state_before=None)
        )
        close_pending(connection, job_id, ShardState.FAILED, error, failure_class)
        announce(connection, job_id, after)
        if after is not JobState.FAILED:
            add_job_task(connection, ControlKind.REPORT, job)
        return True


def judge_again(connection: sa.Connection, job: sa.Row[Any], why: str | None) -> None:
    """succeeded | partial | failed → the one that follows from the results, within a commit after the end of the job.

    A worker may commit after the end where the retry of a job was cancelled, and where another worker failed the job.
    A job that was cancelled stays cancelled. why: what `verdict` said before the commit.
    """
    if job.state not in JUDGED:
        return
    after, new = verdict(connection, job)
    error = job.error or ""
    if error.endswith(why or ""):
        cause = error.removesuffix(why or "").removesuffix("; ")
        error = "; ".join(filter(None, (cause, new)))
    elif after is JobState.SUCCEEDED:
        error = ""
    connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(error=error or None))
    if after != job.state:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job.id, job_transition(JobState(job.state), after))
            .values(state=after.value)
        )
        announce(connection, job.id, after)


def end_planning(connection: sa.Connection, job_id: str, after: JobState, error: str) -> None:
    """planning → failed, or for a retry → the state before it; `error` says why."""
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, job_transition(JobState.PLANNING, after))
        .values(state=after.value, paused=False, error=error, finished_at=now(), state_before=None)
    )
    announce(connection, job_id, after)


def verdict(connection: sa.Connection, job: sa.Row[Any]) -> tuple[JobState, str | None]:
    """The state in which a job ends if no more results come: succeeded, partial or failed; and why."""
    counted = [sa.func.coalesce(sa.func.sum(shards.c[f"n_{status}"]), 0) for status in ImageStatus]
    sums = connection.execute(sa.select(*counted).where(shards.c.job_id == job.id)).one()
    by_status = dict(zip(ImageStatus, map(int, sums), strict=True))
    recorded = sum(by_status.values())
    unusable = sum(by_status[status] for status in UNUSABLE)
    if recorded == job.total and unusable == 0:
        return JobState.SUCCEEDED, None
    why = [
        f"{by_status[status]} of {job.total} images are {status}" for status in UNUSABLE if by_status[status]
    ]
    if recorded < job.total:
        failed = (
            sa.select(shards.c.reason)
            .where(shards.c.job_id == job.id, in_state(shards, ShardState.FAILED))
            .limit(1)
        )
        reason = connection.execute(failed).scalar()
        why.append(f"{job.total - recorded} images were given up" + (f": {reason}" if reason else ""))
    state = JobState.PARTIAL if recorded > unusable else JobState.FAILED
    return state, "; ".join(sorted(why))

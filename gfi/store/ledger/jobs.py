"""What happens to a job: submitted, paused, cancelled, finished, retried, deleted.

    queued → planning → running → succeeded | partial | failed | cancelled

Each function is one state change in one transaction. Terminal states change only by `retry_job`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON, digest
from gfi.domain.ids import new_id
from gfi.domain.records import Deleted, Finished, JobSpec, Retried, Submitted
from gfi.domain.states import ACTIVE, OPEN, TERMINAL, ControlKind, JobState, ShardState
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.store.database import Database, now
from gfi.store.errors import Conflict, LimitExceeded, NotFound
from gfi.store.ledger.guards import has_shard, job_moves, lock_job, shard_moves
from gfi.store.tables import attempts, audit, control_tasks, in_state, jobs, outbox, results, shards

_SUBMIT_LOCK = 7_305_002


def submit_job(db: Database, spec: JobSpec, *, max_active_jobs: int | None = None) -> Submitted:
    """→ queued, with its `plan` task in the same transaction.

    A used idempotency key returns its job (Conflict when the configuration differs); the same configuration
    over the same listing, while that job is active and unless `spec.new`, returns the job that is running.
    """
    with db.begin() as connection:
        return submit_in(connection, spec, max_active_jobs=max_active_jobs)


def submit_in(connection: sa.Connection, spec: JobSpec, *, max_active_jobs: int | None = None) -> Submitted:
    """`submit_job` inside a transaction that does more, like the firing of a schedule."""
    config_digest = digest(spec.config)
    if connection.dialect.name == "postgresql":
        # Two identical submissions at the same moment must see each other; submissions are rare.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SUBMIT_LOCK)))
    if spec.idempotency_key is not None:
        same_key = sa.select(jobs.c.id, jobs.c.config_digest).where(
            jobs.c.owner == spec.owner, jobs.c.idempotency_key == spec.idempotency_key
        )
        if (found := connection.execute(same_key).one_or_none()) is not None:
            if found.config_digest != config_digest:
                raise Conflict(
                    f"idempotency key {spec.idempotency_key!r} belongs to job {found.id}, "
                    "which has another configuration; use a new key"
                )
            return Submitted(found.id, created=False, reason=f"already submitted as {found.id}")
    if not spec.new:
        same_work = (
            sa.select(jobs.c.id)
            .where(jobs.c.config_digest == config_digest, jobs.c.state.in_(sorted(ACTIVE)))
            .order_by(jobs.c.created_at.desc())
        )
        if spec.listing_digest is not None:
            known = sa.or_(jobs.c.listing_digest.is_(None), jobs.c.listing_digest == spec.listing_digest)
            same_work = same_work.where(known)
        if (job_id := connection.execute(same_work.limit(1)).scalar()) is not None:
            reason = f"already running as {job_id}; --new starts another"
            return Submitted(job_id, created=False, reason=reason)
    if max_active_jobs is not None:
        active = sa.select(sa.func.count()).where(jobs.c.state.in_(sorted(ACTIVE)))
        if connection.execute(active).scalar_one() >= max_active_jobs:
            raise LimitExceeded(
                f"{max_active_jobs} jobs are active, the most GFI_MAX_ACTIVE_JOBS allows; "
                "wait for one to finish or cancel one"
            )
    job_id = new_id()
    connection.execute(
        sa.insert(jobs).values(
            id=job_id,
            name=spec.name,
            owner=spec.owner,
            queue=spec.queue,
            priority=spec.priority,
            state=JobState.QUEUED.value,
            config=spec.config,
            config_digest=config_digest,
            listing_digest=spec.listing_digest,
            idempotency_key=spec.idempotency_key,
            model=spec.model,
            notify=[target.__dict__ for target in spec.notify] or None,
            tags=list(spec.tags) or None,
            created_at=now(),
        )
    )
    add_control_task(connection, ControlKind.PLAN, job_id)
    what = {  # who asked for what with which weights: said here too, for the job itself may be deleted
        "config_digest": config_digest,
        "dataset": spec.config.get("dataset", {}).get("spec"),
        "model": (spec.model or {}).get("reference"),
        "model_digest": (spec.model or {}).get("digest"),
    }
    record(connection, spec.owner or "local", "job.submitted", job_id, what)
    return Submitted(job_id, created=True)


def pause_job(db: Database, job_id: str, *, actor: str = "local") -> bool:
    """Set the pause flag: nothing more is claimed, and workers commit what is finished and let go.

    Returns False when it was paused already. Conflict when the job has ended.
    """
    return _set_paused(db, job_id, True, actor)


def resume_job(db: Database, job_id: str, *, actor: str = "local") -> bool:
    """Clear the pause flag. Returns False when it was not paused. Conflict when the job has ended."""
    return _set_paused(db, job_id, False, actor)


def _set_paused(db: Database, job_id: str, paused: bool, actor: str) -> bool:
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state in TERMINAL:
            raise Conflict(f"job {job_id} is {job.state}; only a job under way can be paused or resumed")
        if job.paused == paused:
            return False
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(paused=paused))
        # Messages already out will be spent on other jobs or on nothing: after the pause, publish anew.
        published = sa.and_(shards.c.job_id == job_id, in_state(shards, ShardState.PENDING))
        marked = sa.and_(published, shards.c.published_at.is_not(None))
        connection.execute(sa.update(shards).where(marked).values(published_at=None))
        record(connection, actor, "job.paused" if paused else "job.resumed", job_id)
        return True


def set_priority(db: Database, job_id: str, priority: int, *, actor: str = "local") -> None:
    """Change the priority; it counts from the next claim on."""
    with db.begin() as connection:
        lock_job(connection, job_id)
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(priority=priority))
        record(connection, actor, "job.priority", job_id, {"priority": priority})


def cancel_job(db: Database, job_id: str, *, actor: str = "local") -> bool:
    """queued | planning | running → cancelled. Returns False when it was cancelled already.

    Waiting shards are cancelled here. A shard in a worker's hands stays leased: the worker reads the
    cancellation at its next renewal, commits the images it has finished — partial results stay readable —
    and what it has not begun is cancelled with that commit.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state == JobState.CANCELLED:
            return False
        if job.state in TERMINAL:
            raise Conflict(f"job {job_id} is {job.state} already; there is nothing left to cancel")
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_moves(ACTIVE, JobState.CANCELLED))
            .values(state=JobState.CANCELLED.value, paused=False, finished_at=now())
        )
        close_pending(connection, job_id, ShardState.CANCELLED, None, None)
        close_control(connection, job_id)
        announce(connection, job_id, JobState.CANCELLED)
        record(connection, actor, "job.cancelled", job_id)
        return True


def fail_job(db: Database, job_id: str, error: str, failure_class: str, worker: str | None = None) -> bool:
    """running → failed (partial, where some images have a mask), for what no image is to blame for and
    every shard would meet: a model that cannot be loaded, a manifest that is gone. Waiting shards fail with
    the same reason.

    Returns False when the job had ended, or when another than `worker` is at work on it: what that one has at hand,
    `worker` alone lacks.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state != JobState.RUNNING:
            return False
        if worker is not None:
            leased = sa.and_(in_state(shards, ShardState.LEASED), shards.c.lease_until >= now())
            at_work = sa.exists().where(shards.c.job_id == job_id, leased, shards.c.worker != worker)
            if connection.execute(sa.select(at_work)).scalar_one():
                return False
        verdict = JobState.FAILED if _verdict(connection, job)[0] is JobState.FAILED else JobState.PARTIAL
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_moves(JobState.RUNNING, verdict))
            .values(state=verdict.value, paused=False, error=error, finished_at=now())
        )
        close_pending(connection, job_id, ShardState.FAILED, error, failure_class)
        announce(connection, job_id, verdict)
        return True


def finish_jobs(db: Database) -> list[Finished]:
    """running → succeeded | partial | failed, for every job without pending or leased shards.

    Counts come from the shards' own counters. With the change of state go a row for the outbox and, where
    there is anything to show, a `report` task.
    """
    open_shards = sa.or_(*map(has_shard, sorted(OPEN)))
    with db.read() as connection:
        query = sa.select(jobs.c.id).where(in_state(jobs, JobState.RUNNING), ~open_shards)
        candidates = connection.execute(query).scalars().all()
    finished = []
    for job_id in candidates:
        with db.begin() as connection:
            job = lock_job(connection, job_id)
            verdict, error = _verdict(connection, job)
            changed = connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == job_id, job_moves(JobState.RUNNING, verdict), ~open_shards)
                .values(state=verdict.value, paused=False, error=error, finished_at=now())
            )
            if changed.rowcount:
                announce(connection, job_id, verdict)
                if verdict is not JobState.FAILED:
                    add_control_task(connection, ControlKind.REPORT, job_id)
                finished.append(Finished(job_id, verdict))
    return finished


def _verdict(connection: sa.Connection, job: sa.Row[Any]) -> tuple[JobState, str | None]:
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


def retry_job(
    db: Database,
    job_id: str,
    statuses: Sequence[ImageStatus] = (ImageStatus.ERROR, ImageStatus.CHANGED),
    *,
    classes: Sequence[str] = (),
    actor: str = "local",
) -> Retried:
    """succeeded | partial | failed | cancelled → planning, for another attempt at part of the job.

    A `retry` control task collects the rows whose status is one of `statuses` (and, where `classes` are named,
    whose error is of one of these: `unreadable`, `missing`, `killer` …) into a new manifest; shards that failed (for
    one of these) or were cancelled are opened again with it. What the new attempt replaces is kept in
    `attempts`. A job that was never planned goes back to queued with a new `plan` task.
    """
    wanted = tuple(sorted(ImageStatus(status).value for status in statuses))
    asked = {"statuses": list(wanted), "classes": sorted(classes)}
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state not in TERMINAL:
            raise Conflict(f"job {job_id} is {job.state}; it can be retried once it has ended")
        held = sa.select(sa.func.count()).where(
            shards.c.job_id == job_id, in_state(shards, ShardState.LEASED)
        )
        if connection.execute(held).scalar_one():
            raise Conflict(f"a worker is still letting go of job {job_id}; try again in a few seconds")
        planned = job.manifest_key is not None
        after = JobState.PLANNING if planned else JobState.QUEUED
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_moves(JobState(job.state), after))
            .values(
                state=after.value,
                state_before=job.state,
                error=None,
                finished_at=None,
                generation=jobs.c.generation + (1 if planned else 0),
            )
        )
        kind = ControlKind.RETRY if planned else ControlKind.PLAN
        close_control(connection, job_id)
        add_control_task(connection, kind, job_id, asked if planned else None)
        record(connection, actor, "job.retried", job_id, asked | {"from": job.state})
        return Retried(job_id, after, wanted)


def delete_job(db: Database, job_id: str, *, actor: str = "local") -> Deleted:
    """Remove an ended job's rows; the audit keeps that it existed. Returns the prefixes to delete."""
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.state not in TERMINAL:
            raise Conflict(f"job {job_id} is {job.state}; cancel it first")
        held = sa.select(sa.func.count()).where(
            shards.c.job_id == job_id, in_state(shards, ShardState.LEASED)
        )
        if connection.execute(held).scalar_one():
            raise Conflict(f"a worker is still letting go of job {job_id}; try again in a few seconds")
        record(
            connection,
            actor,
            "job.deleted",
            job_id,
            {"name": job.name, "config_digest": job.config_digest, "state": job.state, "images": job.total},
        )
        for table in (results, attempts):
            connection.execute(sa.delete(table).where(table.c.job_id == job_id))
        connection.execute(sa.delete(outbox).where(outbox.c.job_id == job_id))
        connection.execute(sa.delete(jobs).where(jobs.c.id == job_id))  # shards, parts… go with it
        return Deleted(job_id, (f"jobs/{job_id}/", f"parts/{job_id}/"))


def freeze_profile(db: Database, job_id: str, profile: Mapping[str, Any], device_kind: str) -> JSON:
    """The job's execution profile: the first worker's, whoever that is. Later callers get that one back
    and run under it or let go; `claim_shard` keeps workers of another device kind away.
    """
    with db.begin() as connection:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.profile.is_(None))
            .values(profile=dict(profile), device_kind=device_kind)
        )
        frozen = connection.execute(sa.select(jobs.c.profile).where(jobs.c.id == job_id)).scalar()
    if frozen is None:
        raise NotFound(f"no job {job_id}; `gfi jobs` lists them")
    return frozen


def replace_profile(db: Database, job_id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> JSON:
    """Exchange `old` for `new` (out of memory: a smaller batch is a new profile), noted in the audit.

    Returns the profile in force: another worker may have been first.
    """
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        if job.profile != dict(old):
            return job.profile
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(profile=dict(new)))
        record(connection, "worker", "job.profile", job_id, {"old": dict(old), "new": dict(new)})
        return dict(new)


def freeze_model(db: Database, job_id: str, model: Mapping[str, Any]) -> JSON:
    """The job's model record: the one it was submitted with, else the first worker's."""
    with db.begin() as connection:
        connection.execute(
            sa.update(jobs).where(jobs.c.id == job_id, jobs.c.model.is_(None)).values(model=dict(model))
        )
        frozen = connection.execute(sa.select(jobs.c.model).where(jobs.c.id == job_id)).scalar()
    if frozen is None:
        raise NotFound(f"no job {job_id}; `gfi jobs` lists them")
    return frozen


# What several state changes share. Each runs inside the caller's transaction.


def add_control_task(
    connection: sa.Connection, kind: ControlKind, job_id: str | None, payload: JSON | None = None
) -> str:
    """A pending control task."""
    task_id = new_id()
    connection.execute(
        sa.insert(control_tasks).values(
            id=task_id,
            job_id=job_id,
            kind=kind.value,
            payload=payload or {},
            state=ShardState.PENDING.value,
            created_at=now(),
        )
    )
    return task_id


def close_pending(
    connection: sa.Connection, job_id: str, after: ShardState, reason: str | None, failure_class: str | None
) -> None:
    """pending → failed | cancelled, every waiting shard of a job."""
    connection.execute(
        sa.update(shards)
        .where(shards.c.job_id == job_id, shard_moves(shards, ShardState.PENDING, after))
        .values(state=after.value, reason=reason, failure_class=failure_class, published_at=None)
    )


def close_control(connection: sa.Connection, job_id: str) -> None:
    """pending | leased → cancelled, every control task of a job: whoever holds one finds its fence gone."""
    for before in (ShardState.PENDING, ShardState.LEASED):
        connection.execute(
            sa.update(control_tasks)
            .where(control_tasks.c.job_id == job_id, shard_moves(control_tasks, before, ShardState.CANCELLED))
            .values(state=ShardState.CANCELLED.value, fence=control_tasks.c.fence + 1)
        )


def announce(connection: sa.Connection, job_id: str, state: JobState) -> None:
    """A row of the outbox for each channel that is told of the job's end."""
    notify = connection.execute(sa.select(jobs.c.notify).where(jobs.c.id == job_id)).scalar() or []
    for target in notify:
        connection.execute(
            sa.insert(outbox).values(
                id=new_id(),
                job_id=job_id,
                kind="job.finished",
                channel=target["channel"],
                payload={"job": job_id, "state": state.value},
                created_at=now(),
            )
        )


def record(
    connection: sa.Connection, actor: str, action: str, job_id: str | None = None, details: JSON | None = None
) -> None:
    """A row of the audit."""
    connection.execute(
        sa.insert(audit).values(
            id=new_id(), at=now(), actor=actor, action=action, job_id=job_id, details=details or {}
        )
    )

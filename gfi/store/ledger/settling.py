"""Audits until settled: a job that explains one sample after the other, and its audit, which decides on the next.

    submit_settling   (nothing) → queued, and (nothing) → explaining
    continues         explaining → screening | confirming, once the images that were asked for are explained
    add_instalment    screening | confirming → explaining, with shards for the next images; a job that has ended
                      because its audit failed runs again

The job stays `running` until its audit has ended. Its shards are those of generation 1, 2, …: each has a manifest of
its own with the rows that it explains, as a retry has.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON, digest
from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec, Submitted
from gfi.domain.states import JUDGED, OPEN, ControlKind, JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.errors import Conflict, LimitExceeded
from gfi.store.ledger.audit import record
from gfi.store.ledger.audit_chains import UNTIL_SETTLED, follower_of, go_on_from, screened_after
from gfi.store.ledger.audits import add_audit_task, locked_audit
from gfi.store.ledger.control_requests import check_current, close_control
from gfi.store.ledger.guards import job_transition
from gfi.store.ledger.limits import admit_images, admit_job, admit_task, refused_seconds_in
from gfi.store.ledger.shards import insert_shards
from gfi.store.ledger.submission import submit_in
from gfi.store.tables import audits, control_tasks, jobs, shards


def submit_settling(
    db: Database,
    spec: JobSpec,
    *,
    series: str,
    secret: str,
    settings: JSON,
    options: JSON,
    max_active_jobs: int | None = None,
) -> tuple[str, Submitted]:
    """(nothing) → queued, and its audit → explaining, in one transaction. Returns (id of the audit, submitted).

    An idempotency key that was used before, or an active job of the same configuration, returns its audit. Raises as
    `go_on_from`, where its options name an earlier audit.
    """
    earlier = options[UNTIL_SETTLED].get("after")
    with db.begin() as connection:
        if earlier:  # before the lock of the owner, as where an audit goes on
            connection.execute(sa.select(audits.c.id).where(audits.c.id == earlier).with_for_update())
        submitted = submit_in(connection, spec, max_active_jobs=max_active_jobs)
        if not submitted.created:
            known = sa.select(audits.c.id).where(audits.c.job_id == submitted.job_id).order_by(audits.c.id)
            audit_id = connection.execute(known.limit(1)).scalar()
            if audit_id is None:
                raise Conflict(f"job {submitted.job_id} has no audit; submit with another key")
            return audit_id, submitted
        if earlier:
            go_on_from(connection, earlier)
        audit_id = new_id()
        connection.execute(
            sa.insert(audits).values(
                id=audit_id,
                job_id=submitted.job_id,
                owner=spec.owner,
                series=series,
                task_id=None,
                secret=secret,
                settings=settings,
                settings_digest=digest(settings),
                options=options,
                created_at=now(),
            )
        )
        record(connection, spec.owner or "local", "audit.requested", submitted.job_id, {"audit": audit_id})
        return audit_id, submitted


def continues(connection: sa.Connection, job: sa.Row[Any]) -> bool:
    """explaining → screening | confirming, of a running job without open shards. Whether its audit goes on.

    False for other jobs, and for one whose audit is done, failed, was cancelled, or may use no device any more: then
    the job ends.
    """
    if not job.config.get("sample"):
        return False
    waiting = sa.exists().where(shards.c.job_id == job.id, shards.c.state.in_(sorted(OPEN)))
    if connection.execute(sa.select(waiting)).scalar_one():
        return True  # added since the caller looked
    query = sa.select(audits).where(audits.c.job_id == job.id, audits.c.done_at.is_(None))
    for row in connection.execute(query):
        if UNTIL_SETTLED not in row.options or follower_of(connection, row):
            continue
        if row.task_id is not None:
            state = connection.execute(
                sa.select(control_tasks.c.state).where(control_tasks.c.id == row.task_id)
            ).scalar()
            if state in OPEN:
                return True
            if state != ShardState.DONE:
                return False
        if row.screened_at is None:
            task = add_audit_task(connection, ControlKind.SCREEN, job, row.id, row.owner)
        else:  # also where the audit was restored, and has no task
            confirming = _confirm(connection, job, row)
            if confirming is None:
                return True
            task = confirming
        connection.execute(sa.update(audits).where(audits.c.id == row.id).values(task_id=task))
        return True
    return False


def _confirm(connection: sa.Connection, job: sa.Row[Any], row: sa.Row[Any]) -> str | None:
    """(nothing) → pending, the task that tests the newest instalment; None while other tasks of its owner come first.

    Its own job was admitted for this. Where its owner's limit was lowered since, the task tests nothing, and ends the
    audit with what was found.
    """
    at = (row.plan or {}).get("settling") or {}
    seconds = at.get("estimate_s")
    if refused := refused_seconds_in(connection, row.owner, at.get("device_s") or 0.0):
        plan = row.plan | {"settling": at | {"refused": refused}}
        connection.execute(sa.update(audits).where(audits.c.id == row.id).values(plan=plan))
        seconds = None
    try:
        admit_task(connection, row.owner, seconds, job_counts=True)
    except LimitExceeded:
        return None
    return add_audit_task(connection, ControlKind.CONFIRM, job, row.id, row.owner, seconds)


def add_instalment(
    connection: sa.Connection,
    audit_id: str,
    task_id: str,
    plan: JSON,
    *,
    manifest_key: str,
    images: int,
    bounds: Iterable[tuple[int, int]],
) -> None:
    """screening | confirming → explaining, within the commit of the audit's task: shards for the next images.

    manifest_key: of the manifest of the `images` rows. Conflict where the job was cancelled or is explained again, and
    unless `task_id` is the audit's current task; LimitExceeded where its owner may explain no more images, or may not
    use a device as long as the plan says.
    """
    row, job = locked_audit(connection, audit_id)
    check_current(row, task_id)
    if row.screened_at is None:
        screened_after(connection, row)
    if job.state in JUDGED:
        _run_again(connection, job)
    elif job.state != JobState.RUNNING:
        raise Conflict(f"job {job.id} is {job.state}; it explains no more images")
    total, generation = job.total + images, job.generation + 1
    admit_images(connection, job.owner, total)
    seconds = (plan.get("settling") or {}).get("device_s") or 0.0
    if refused := refused_seconds_in(connection, job.owner, seconds):
        raise LimitExceeded(refused)
    insert_shards(connection, job.id, generation, manifest_key, bounds)
    connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(total=total, generation=generation))
    values: dict[str, Any] = {"plan": plan, "screened_at": sa.func.coalesce(audits.c.screened_at, now())}
    connection.execute(sa.update(audits).where(audits.c.id == audit_id).values(**values))


def _run_again(connection: sa.Connection, job: sa.Row[Any]) -> None:
    """succeeded | partial | failed → running, as a retry of the job would do."""
    admit_job(connection, job.owner)
    close_control(connection, job.id)
    for before, after in ((JobState(job.state), JobState.PLANNING), (JobState.PLANNING, JobState.RUNNING)):
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job.id, job_transition(before, after))
            .values(state=after.value, error=None, finished_at=None, state_before=None)
        )

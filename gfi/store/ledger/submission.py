"""Submitting a job: (nothing) → queued."""

import sqlalchemy as sa

from gfi.domain.digests import digest
from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec, Submitted
from gfi.domain.states import ACTIVE, ControlKind, JobState
from gfi.domain.tasks import ROUTED, priority_in
from gfi.store.database import Database, now
from gfi.store.errors import Conflict, LimitExceeded
from gfi.store.ledger.audit import record
from gfi.store.ledger.control_requests import add_control_task
from gfi.store.ledger.job_row import job_row
from gfi.store.ledger.limits import admit_job
from gfi.store.tables import jobs, submission_keys

_SUBMIT_LOCK = 7_305_002


def submit_job(db: Database, spec: JobSpec, *, max_active_jobs: int | None = None) -> Submitted:
    """(nothing) → queued, with a `plan` task in the same transaction.

    An idempotency key that was used before returns its job; Conflict when the configuration differs. The configuration
    and listing of an active job return that job, unless `spec.new`, and the key names it from then on. LimitExceeded
    when `max_active_jobs` are active, or as many as the owner may have.
    """
    with db.begin() as connection:
        return submit_in(connection, spec, max_active_jobs=max_active_jobs)


def submit_in(connection: sa.Connection, spec: JobSpec, *, max_active_jobs: int | None = None) -> Submitted:
    """`submit_job` within a transaction of the caller, such as the firing of a schedule."""
    config_digest = digest(spec.config)
    if connection.dialect.name == "postgresql":
        # One submission at a time, so that of two identical ones the second sees the first; submissions are rare.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SUBMIT_LOCK)))
    if (earlier := _job_of_key(connection, spec, config_digest)) is not None:
        return earlier
    if (under_way := _same_work(connection, spec, config_digest)) is not None:
        _keep_key(connection, spec, config_digest, under_way.job_id)
        return under_way
    admit_job(connection, spec.owner)
    if max_active_jobs is not None:
        active = sa.select(sa.func.count()).where(jobs.c.state.in_(sorted(ACTIVE)))
        if connection.execute(active).scalar_one() >= max_active_jobs:
            raise LimitExceeded(
                f"{max_active_jobs} jobs are active, the most GFI_MAX_ACTIVE_JOBS allows; "
                "wait for one to finish or cancel one"
            )
    job_id = new_id()
    connection.execute(sa.insert(jobs).values(job_row(job_id, spec, JobState.QUEUED)))
    _keep_key(connection, spec, config_digest, job_id)
    priority = priority_in(spec.queue, spec.priority)
    payload = {ROUTED: True} if spec.routed else None
    add_control_task(connection, ControlKind.PLAN, job_id, payload, owner=spec.owner, priority=priority)
    what = {  # kept after the job is deleted
        "config_digest": config_digest,
        "dataset": spec.config.get("dataset", {}).get("spec"),
        "model": (spec.model or {}).get("reference"),
        "model_digest": (spec.model or {}).get("digest"),
    }
    record(connection, spec.owner or "local", "job.submitted", job_id, what)
    return Submitted(job_id, created=True)


def _job_of_key(connection: sa.Connection, spec: JobSpec, config_digest: str) -> Submitted | None:
    """The job with this idempotency key; None if there is none."""
    if spec.idempotency_key is None:
        return None
    same_key = sa.select(submission_keys.c.job_id, submission_keys.c.config_digest).where(
        submission_keys.c.owner == spec.owner, submission_keys.c.key == spec.idempotency_key
    )
    earlier = connection.execute(same_key).one_or_none()
    if earlier is None:
        return None
    if earlier.config_digest != config_digest:
        raise Conflict(
            f"idempotency key {spec.idempotency_key!r} belongs to job {earlier.job_id}, "
            "which has another configuration; use a new key"
        )
    return Submitted(earlier.job_id, created=False, reason=f"already submitted as {earlier.job_id}")


def _same_work(connection: sa.Connection, spec: JobSpec, config_digest: str) -> Submitted | None:
    """An active job with the same work; None if there is none or if the caller wants a new one."""
    if spec.new:
        return None
    same_work = (
        sa.select(jobs.c.id)
        .where(jobs.c.config_digest == config_digest, jobs.c.state.in_(sorted(ACTIVE)))
        .order_by(jobs.c.created_at.desc())
    )
    if spec.listing_digest is not None:
        known = sa.or_(jobs.c.listing_digest.is_(None), jobs.c.listing_digest == spec.listing_digest)
        same_work = same_work.where(known)
    job_id = connection.execute(same_work.limit(1)).scalar()
    if job_id is None:
        return None
    return Submitted(job_id, created=False, reason=f"already running as {job_id}; --new starts another")


def _keep_key(connection: sa.Connection, spec: JobSpec, config_digest: str, job_id: str) -> None:
    if spec.idempotency_key is not None:
        connection.execute(
            sa.insert(submission_keys).values(
                owner=spec.owner,
                key=spec.idempotency_key,
                job_id=job_id,
                config_digest=config_digest,
                created_at=now(),
            )
        )

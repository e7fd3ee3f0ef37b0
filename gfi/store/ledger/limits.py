"""The limits of an owner, checked in the transaction of the change that they limit.

An owner is the name of a token, and the limits are those of the newest token of this name, also after it was revoked,
because its schedules continue to fire. Every way to start work calls one of these:

    admit_job       jobs, firings of schedules, tests, uploads, comparisons (`submission`), retries (`jobs`)
    admit_task      tasks that need a network (`control_requests`)
    admit_images    the images of a listing and of a retry (`planning`), where they are known

A limit that is not set allows everything; the limits of the operator are in `gfi.store.settings`.
"""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import ACTIVE, OPEN, ControlKind
from gfi.store.database import Database
from gfi.store.errors import LimitExceeded
from gfi.store.tables import control_tasks, jobs, tokens

_OWNER_LOCK = 7_305_006


def limits_of(connection: sa.Connection, owner: str) -> JSON:
    """The limits of the newest token of this name; none where there is no token."""
    newest = (
        sa.select(tokens.c.limits)
        .where(tokens.c.name == owner, tokens.c.kind == "api")
        .order_by(tokens.c.created_at.desc(), tokens.c.id.desc())
        .limit(1)
    )
    limits: JSON | None = connection.execute(newest).scalar()
    return limits or {}


def most_images(db: Database, owner: str) -> int | None:
    """How many images a job of this owner may have; None if there is no limit."""
    with db.read() as connection:
        return limits_of(connection, owner).get("max_images")


def admit_job(connection: sa.Connection, owner: str, *, task_counts: bool = False) -> None:
    """Raises LimitExceeded if the owner may not have another active job. An open task that needs a network counts as
    one, and an import with its job as one.

    task_counts: the job is that of an open task, which is counted already.
    """
    _admit_active(connection, owner, limits_of(connection, owner), counted=int(task_counts))


def admit_task(
    connection: sa.Connection, owner: str, estimate_s: float | None, *, job_counts: bool = False
) -> None:
    """Raises LimitExceeded if the owner may not have another task, or if the open ones need too much device time.

    estimate_s: device seconds of the new task; None if unknown, which counts as 0. job_counts: the task is part of an
    active job. Jobs were admitted when they began, so only the other open tasks are counted then: if jobs were, two of
    them would wait for each other.
    """
    limits = limits_of(connection, owner)
    _admit_active(connection, owner, limits, with_jobs=not job_counts)
    most_s = limits.get("max_device_seconds")
    if most_s is None:
        return
    _one_at_a_time(connection, owner)
    asked = sa.select(sa.func.coalesce(sa.func.sum(control_tasks.c.estimate_s), 0.0)).where(
        _open_tasks(owner)
    )
    seconds = float(connection.execute(asked).scalar_one()) + (estimate_s or 0.0)
    if seconds > most_s:
        raise LimitExceeded(
            f"the tasks of {owner} may take a device {most_s} s together, and would take {seconds:.0f} s;"
            " wait for one to finish or cancel one"
        )


def refused_seconds(db: Database, owner: str, seconds: float) -> str | None:
    """Why one piece of work of the owner may not take a device so long, whatever else is open; None where it may."""
    with db.read() as connection:
        return refused_seconds_in(connection, owner, seconds)


def refused_seconds_in(connection: sa.Connection, owner: str, seconds: float) -> str | None:
    """`refused_seconds` within a transaction."""
    most_s = limits_of(connection, owner).get("max_device_seconds")
    if most_s is None or seconds <= most_s:
        return None
    return f"the tasks of {owner} may take a device {most_s} s together, and it would take {seconds:.0f} s"


def admit_images(connection: sa.Connection, owner: str, images: int) -> None:
    """Raises LimitExceeded if a job of the owner may not have this many images."""
    check_images(limits_of(connection, owner).get("max_images"), images)


def check_images(most: int | None, images: int) -> None:
    """Raises LimitExceeded if `images` is more than `most`, the limit of a token."""
    if most is not None and images > most:
        raise LimitExceeded(too_many_images(most))


def too_many_images(most: int) -> str:
    """What is said where a dataset has more images than the token's limit `most`."""
    return f"this token may explain {most} images a job; the dataset has more"


def _admit_active(
    connection: sa.Connection, owner: str, limits: JSON, *, with_jobs: bool = True, counted: int = 0
) -> None:
    most = limits.get("max_active_jobs")
    if most is None:
        return
    _one_at_a_time(connection, owner)
    imported = control_tasks.c.progress["job"].as_string()
    of_imports = sa.select(imported).where(
        _open_tasks(owner), control_tasks.c.kind == ControlKind.IMPORT.value, imported.is_not(None)
    )
    active = sa.select(sa.func.count()).where(
        jobs.c.owner == owner, jobs.c.state.in_(sorted(ACTIVE)), jobs.c.id.not_in(of_imports)
    )
    waiting = sa.select(sa.func.count()).where(_open_tasks(owner))
    running = connection.execute(waiting).scalar_one()
    if with_jobs:
        running += connection.execute(active).scalar_one()
    if running - counted >= most:
        raise LimitExceeded(
            f"this token may have {most} active jobs, and has {running}; wait for one to finish or cancel one"
        )


def _one_at_a_time(connection: sa.Connection, owner: str) -> None:
    """Wait for other transactions that begin something for this owner: of two at once, the second must count what the
    first has begun. The last lock of a transaction. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        lock = sa.func.pg_advisory_xact_lock(_OWNER_LOCK, sa.func.hashtext(owner))
        connection.execute(sa.select(lock))


def _open_tasks(owner: str) -> sa.ColumnElement[bool]:
    mine = sa.and_(control_tasks.c.owner == owner, control_tasks.c.needs != "none")
    return sa.and_(mine, control_tasks.c.state.in_(sorted(OPEN)))

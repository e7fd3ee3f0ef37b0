"""Old jobs of a schedule, deleted unless something holds them.

    schedules.follow_ups["keep"]   {"runs": 30, "flagged": true}

A job is held while it is active, while it is one of the newest `runs` with results, and by what people or the service
refer to (`why_held`). It is judged twice: to list the candidates, and again in the transaction that deletes the job,
under its lock. Carried results hold nothing: they point to parts, which outlive
their job (`gfi.store.ledger.carrying`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import Deleted
from gfi.domain.states import ACTIVE, ControlKind, JobState, ShardState
from gfi.store.database import Database
from gfi.store.ledger.jobs import delete_job
from gfi.store.tables import audits, control_tasks, findings, firings, flags, jobs, schedules

WITH_RESULTS = (JobState.SUCCEEDED.value, JobState.PARTIAL.value)


def delete_old_job(
    db: Database, schedule_id: str, job_id: str, shortcuts: Sequence[str], *, actor: str
) -> Deleted:
    """Delete an ended job of a schedule. Conflict, with the reason, if something holds it by now."""
    return delete_job(
        db,
        job_id,
        actor=actor,
        unless=lambda connection: _why_held(connection, schedule_id, job_id, shortcuts),
    )


def why_held(db: Database, schedule_id: str, job_id: str, shortcuts: Sequence[str]) -> str | None:
    """Why a schedule keeps one of its jobs at this moment; None where it does not. shortcuts: the verdicts of confirmed
    shortcuts.

    Held are: the newest runs; a job with a flag; one whose audit found a shortcut that was new or grown, or a finding
    on which a person decided; what a comparison names that a person asked for, or that belongs to a job held for one of
    these reasons; the job from which an active one carries results; and what a schedule names.
    """
    with db.read() as connection:
        return _why_held(connection, schedule_id, job_id, shortcuts)


def _why_held(
    connection: sa.Connection, schedule_id: str, job_id: str, shortcuts: Sequence[str]
) -> str | None:
    follow_ups = connection.execute(
        sa.select(schedules.c.follow_ups).where(schedules.c.id == schedule_id)
    ).scalar()
    keep = (follow_ups or {}).get("keep")
    if keep is None:
        return "its schedule keeps every job"
    return (
        _by_itself(connection, schedule_id, job_id, keep, shortcuts)
        or _compared(connection, schedule_id, job_id, keep, shortcuts)
        or _named(connection, job_id)
    )


def _by_itself(
    connection: sa.Connection,
    schedule_id: str,
    job_id: str,
    keep: Mapping[str, Any],
    shortcuts: Sequence[str],
) -> str | None:
    newer = (
        sa.select(sa.func.count(sa.distinct(jobs.c.id)))
        .join(firings, firings.c.job_id == jobs.c.id)
        .where(firings.c.schedule_id == schedule_id, jobs.c.id > job_id, jobs.c.state.in_(WITH_RESULTS))
    )
    if connection.execute(newer).scalar_one() < keep["runs"]:
        return f"it is one of the newest {keep['runs']} runs"
    flagged = sa.select(flags.c.row).where(flags.c.job_id == job_id).limit(1)
    if keep["flagged"] and connection.execute(flagged).first() is not None:
        return "an image of it is flagged"
    decided = sa.or_(findings.c.accepted, findings.c.note != "", findings.c.assignee != "")
    began = sa.and_(
        findings.c.verdict.in_(shortcuts),
        findings.c.history.in_(("new", "grown")),
        findings.c.dismissed == "",
    )
    found = (
        sa.select(findings.c.id)
        .join(audits, audits.c.id == findings.c.audit_id)
        .where(audits.c.job_id == job_id, sa.or_(decided, began))
        .limit(1)
    )
    finding = connection.execute(found).scalar()
    return f"finding {finding} of its audit refers to it" if finding is not None else None


def _compared(
    connection: sa.Connection,
    schedule_id: str,
    job_id: str,
    keep: Mapping[str, Any],
    shortcuts: Sequence[str],
) -> str | None:
    for task_id, asked in _comparisons(connection):
        if job_id not in (asked["a"], asked["b"], *asked["floor"]):
            continue
        if asked.get("schedule") is None:
            return f"comparison {task_id} refers to it"
        other = asked["b"]
        if other != job_id and _by_itself(connection, schedule_id, other, keep, shortcuts) is not None:
            return f"comparison {task_id} of job {other} refers to it"
    return None


def _comparisons(connection: sa.Connection) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The comparisons that are done or will be, with what they were asked."""
    gone = (ShardState.FAILED.value, ShardState.CANCELLED.value)
    query = sa.select(control_tasks.c.id, control_tasks.c.payload).where(
        control_tasks.c.kind == ControlKind.COMPARE.value, control_tasks.c.state.not_in(gone)
    )
    for row in connection.execute(query):
        yield row.id, row.payload


def _named(connection: sa.Connection, job_id: str) -> str | None:
    active = sa.select(jobs.c.id, jobs.c.since).where(
        jobs.c.state.in_(sorted(ACTIVE)), jobs.c.since.is_not(None)
    )
    for child, since in connection.execute(active):
        if since and since["job"] == job_id:
            return f"job {child} carries results of it"
    named = sa.select(schedules.c.name, schedules.c.request, schedules.c.follow_ups)
    for name, request, follow_ups in connection.execute(named):
        # As text, because a gate file names jobs too.
        if job_id in json.dumps([request, follow_ups]):
            return f"schedule {name} names it"
    return None

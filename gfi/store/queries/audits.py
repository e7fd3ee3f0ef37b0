"""Audits and their findings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import (
    ACTIVE,
    AUDIT_OPEN,
    OPEN,
    AuditState,
    ControlKind,
    JobState,
    ShardState,
)
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.queries.fetching import fetch, named
from gfi.store.tables import audits, control_tasks, findings, jobs, results

_ROWS = 500
"""Rows named in one statement."""


@dataclass(frozen=True)
class Audit:
    """An audit. progress and reason: of its task. secret: of the split in halves; not to be shown before it is done."""

    id: str
    job_id: str
    owner: str
    series: str
    state: AuditState
    reason: str | None
    progress: JSON | None
    task_id: str | None
    secret: str = field(repr=False)
    settings: JSON
    settings_digest: str
    options: JSON
    plan: JSON | None
    summary: JSON | None
    created_at: float
    screened_at: float | None
    done_at: float | None

    def to_json(self) -> JSON:
        """What is shown of it: all but the secret and the names of its files, and whether a patch was given instead of
        its key."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "secret"}
        values["options"] = self.options | {"patch": bool(self.options.get("patch"))}
        for name, hidden in (("plan", "stored"), ("progress", "files")):
            if values[name] is not None:
                values[name] = {k: v for k, v in values[name].items() if k != hidden}
        return values

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless somebody asks for it."""
        return self.state not in AUDIT_OPEN


@dataclass(frozen=True)
class AuditFinding:
    """A finding of an audit, with what people decided about it. record: place, numbers and pictures."""

    id: str
    audit_id: str
    position: int
    class_index: int | None
    class_name: str
    kind: str
    verdict: str
    history: str
    sentence: str
    record: JSON
    accepted: bool
    dismissed: str
    note: str
    assignee: str
    decided_by: str
    decided_at: float | None

    def to_json(self) -> JSON:
        """The row without the id of its audit."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "audit_id"}


_FINDING = [findings.c[name] for name in AuditFinding.__dataclass_fields__]
_TASK = [control_tasks.c[name].label(f"task_{name}") for name in ("kind", "state", "reason", "progress")]


_JOB = [jobs.c[name].label(f"job_{name}") for name in ("state", "error")]


def _query() -> sa.Select[Any]:
    joined = audits.outerjoin(control_tasks, control_tasks.c.id == audits.c.task_id).outerjoin(
        jobs, jobs.c.id == audits.c.job_id
    )
    return sa.select(audits, *_TASK, *_JOB).select_from(joined)


def _audit(row: JSON) -> Audit:
    kind, state = row.pop("task_kind"), row.pop("task_state")
    reason, progress = row.pop("task_reason"), row.pop("task_progress")
    job_state, job_error = row.pop("job_state"), row.pop("job_error")
    said = _state(row, kind, state, job_state)
    if said is AuditState.FAILED and state != ShardState.FAILED:
        reason = job_error
    return Audit(**row, state=said, reason=reason, progress=progress)


def _state(row: JSON, kind: str | None, state: str | None, job_state: str | None) -> AuditState:
    if row["done_at"] is not None:
        return AuditState.DONE
    if "until_settled" in row["options"] and state not in (*OPEN, ShardState.CANCELLED, ShardState.FAILED):
        # No task of its own is under way: it waits for the job that explains its images.
        if job_state in ACTIVE:
            return AuditState.EXPLAINING
        if job_state == JobState.CANCELLED:
            return AuditState.CANCELLED
        return AuditState.FAILED if row["screened_at"] is None else AuditState.SCREENED
    if state == ShardState.CANCELLED:
        return AuditState.CANCELLED
    if state == ShardState.FAILED:
        return AuditState.FAILED
    if kind == ControlKind.CONFIRM:
        return AuditState.CONFIRMING
    return AuditState.SCREENING if row["screened_at"] is None else AuditState.SCREENED


def get_audit(db: Database, audit_id: str) -> Audit:
    """An audit by its id, or by the beginning of an id that no other audit shares. Raises NotFound otherwise."""
    with db.read() as connection:
        rows = named(connection, _query(), audits.c.id, audit_id)
    if not rows:
        raise NotFound(f"no audit {audit_id}; `gfi audits JOB` lists them")
    if len(rows) > 1:
        raise NotFound(f"more than one audit begins with {audit_id}")
    return _audit(dict(rows[0]._mapping))


def list_audits(db: Database, job_id: str | None, limit: int = 1000) -> list[Audit]:
    """The audits of a job, newest first; of all jobs where none is named."""
    query = _query() if job_id is None else _query().where(audits.c.job_id == job_id)
    return [_audit(row) for row in fetch(db, query.order_by(audits.c.id.desc()).limit(limit))]


def previous_audit(db: Database, audit: Audit) -> tuple[Audit, str | None] | None:
    """The last audit of the same series that was done before this one began, and the listing digest of its job."""
    query = (
        _query()
        .add_columns(jobs.c.listing_digest.label("listing"))
        .where(audits.c.series == audit.series, audits.c.id < audit.id, audits.c.done_at.is_not(None))
        .order_by(audits.c.id.desc())
        .limit(1)
    )
    rows = fetch(db, query)
    if not rows:
        return None
    listing = rows[0].pop("listing")
    return _audit(rows[0]), listing


def list_findings(db: Database, audit_id: str) -> list[AuditFinding]:
    """The findings of an audit, in its order; at most ten thousand."""
    query = sa.select(*_FINDING).where(findings.c.audit_id == audit_id).order_by(findings.c.position)
    return [AuditFinding(**row) for row in fetch(db, query.limit(10_000))]


def decided_before(db: Database, audit: Audit) -> list[AuditFinding]:
    """The findings that earlier audits of the series made and people decided about, each as it was told last.

    So a decision outlives audits that do not find what it is about.
    """
    mine = sa.and_(audits.c.series == audit.series, audits.c.id < audit.id, audits.c.done_at.is_not(None))
    last = (
        sa.select(findings.c.id, sa.func.max(findings.c.audit_id).label("audit_id"))
        .join(audits, audits.c.id == findings.c.audit_id)
        .where(mine)
        .group_by(findings.c.id)
        .subquery()
    )
    decided = sa.or_(
        findings.c.dismissed != "", findings.c.accepted, findings.c.note != "", findings.c.assignee != ""
    )
    query = (
        sa.select(*_FINDING)
        .join(last, sa.and_(last.c.id == findings.c.id, last.c.audit_id == findings.c.audit_id))
        .where(decided)
        .order_by(findings.c.audit_id.desc(), findings.c.position)
    )
    return [AuditFinding(**row) for row in fetch(db, query.limit(10_000))]


def get_finding(db: Database, audit_id: str, finding_id: str) -> AuditFinding:
    """One finding. Raises NotFound."""
    mine = sa.and_(findings.c.audit_id == audit_id, findings.c.id == finding_id)
    rows = fetch(db, sa.select(*_FINDING).where(mine))
    if not rows:
        raise NotFound(f"audit {audit_id} has no finding {finding_id}")
    return AuditFinding(**rows[0])


def keys_of(db: Database, job_id: str, rows: Sequence[int]) -> dict[int, str]:
    """The keys of some images of a job, by row."""
    found: dict[int, str] = {}
    for start in range(0, len(rows), _ROWS):
        some = results.c.row.in_(rows[start : start + _ROWS])
        query = sa.select(results.c.row, results.c.key).where(results.c.job_id == job_id, some)
        found |= {row["row"]: row["key"] for row in fetch(db, query)}
    return found

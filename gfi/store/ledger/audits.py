"""Audits: requested, screened, confirmed, done; what people decide about their findings.

    request_audit    (nothing) → screening    a task `audit-screen`
    write_screened   screening → confirming   a task `audit-confirm`; or → screened, where no more was asked or allowed
    confirm_audit    screened | failed | cancelled → confirming; until settled also failed | cancelled → screening
    write_findings   confirming → done

The state of an audit is that of its task until it is done; `gfi.store.queries.audits` reads it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON, digest
from gfi.domain.ids import new_id
from gfi.domain.states import ACTIVE, OPEN, TERMINAL, ControlKind, ShardState
from gfi.domain.tasks import priority_in
from gfi.store.database import Database, insert, now
from gfi.store.errors import Conflict, LimitExceeded, NotFound
from gfi.store.ledger.audit import record
from gfi.store.ledger.audit_chains import UNTIL_SETTLED, check_last, screened_after
from gfi.store.ledger.control_requests import add_control_task, check_current
from gfi.store.ledger.guards import lock_job
from gfi.store.ledger.limits import admit_task
from gfi.store.tables import audits, control_tasks, findings

DECISIONS = ("accepted", "dismissed", "note", "assignee")
"""The columns of a finding that people set."""


def request_audit(
    db: Database,
    job_id: str,
    *,
    owner: str,
    series: str,
    secret: str,
    settings: JSON,
    options: JSON,
) -> tuple[str, bool]:
    """(nothing) → screening. Returns (id, True), or (id, False) of an open audit with these settings and options.

    Conflict where the job has not ended.
    """
    with db.begin() as connection:
        return request_audit_in(
            connection, job_id, owner=owner, series=series, secret=secret, settings=settings, options=options
        )


def request_audit_in(
    connection: sa.Connection,
    job_id: str,
    *,
    owner: str,
    series: str,
    secret: str,
    settings: JSON,
    options: JSON,
) -> tuple[str, bool]:
    """`request_audit` within a transaction."""
    settings_digest = digest(settings)
    job = lock_job(connection, job_id)
    if job.state not in TERMINAL:
        raise Conflict(f"job {job_id} is {job.state}; it can be audited once it has ended")
    known = sa.select(audits.c.id, audits.c.options).where(
        audits.c.job_id == job_id,
        audits.c.settings_digest == settings_digest,
        audits.c.done_at.is_(None),
        control_tasks.c.state.in_(sorted(OPEN)),
    )
    for row in connection.execute(known.join(control_tasks, control_tasks.c.id == audits.c.task_id)):
        if row.options == options:
            return row.id, False
    audit_id = new_id()
    task_id = add_audit_task(connection, ControlKind.SCREEN, job, audit_id, owner)
    connection.execute(
        sa.insert(audits).values(
            id=audit_id,
            job_id=job_id,
            owner=owner,
            series=series,
            task_id=task_id,
            secret=secret,
            settings=settings,
            settings_digest=settings_digest,
            options=options,
            created_at=now(),
        )
    )
    record(connection, owner or "local", "audit.requested", job_id, {"audit": audit_id})
    return audit_id, True


def write_screened(connection: sa.Connection, audit_id: str, task_id: str, plan: JSON, confirm: bool) -> None:
    """screening → confirming; or → screened, where `confirm` is False or its owner may not use a device that long.

    Within the commit of the screening task, `task_id`. plan: with `estimate_s`; a refusal is added to it as `refused`.
    Raises as `check_current`.
    """
    row, job = locked_audit(connection, audit_id)
    check_current(row, task_id)
    screened_after(connection, row)
    values: dict[str, Any] = {"plan": plan, "screened_at": now()}
    if confirm:
        try:
            admit_task(connection, row.owner, plan.get("estimate_s"))
        except LimitExceeded as error:
            values["plan"] = plan | {"refused": str(error)}
        else:
            values["task_id"] = add_audit_task(
                connection, ControlKind.CONFIRM, job, audit_id, row.owner, plan.get("estimate_s")
            )
    connection.execute(sa.update(audits).where(audits.c.id == audit_id).values(**values))


def confirm_audit(db: Database, audit_id: str, *, actor: str = "local") -> None:
    """screened | failed | cancelled → confirming; → screening, of an audit until settled that was not screened.

    Conflict in another state, where it was not screened, or where another audit goes on from it.
    """
    with db.begin() as connection:
        row, job = locked_audit(connection, audit_id)
        if row.done_at is not None:
            raise Conflict(f"audit {audit_id} is done already")
        check_last(connection, row)
        settling = UNTIL_SETTLED in row.options
        if row.screened_at is None and not (settling and row.task_id is not None):
            raise Conflict(f"audit {audit_id} has not been screened; request another one")
        known = sa.select(control_tasks.c.state).where(control_tasks.c.id == row.task_id)
        state = connection.execute(known).scalar()
        explaining = settling and state == ShardState.DONE and job.state in ACTIVE
        if state in OPEN or explaining:
            raise Conflict(f"audit {audit_id} is under way already")
        plan, kind, seconds = row.plan, ControlKind.SCREEN, None
        if row.screened_at is not None:
            kind, seconds = ControlKind.CONFIRM, (plan.get("settling") or plan).get("estimate_s")
            admit_task(connection, row.owner, seconds)
            plan = {name: value for name, value in plan.items() if name != "refused"}
            if settling and "settling" in plan:
                plan["settling"] = {k: v for k, v in plan["settling"].items() if k != "refused"}
        task_id = add_audit_task(connection, kind, job, audit_id, row.owner, seconds)
        connection.execute(
            sa.update(audits).where(audits.c.id == audit_id).values(task_id=task_id, plan=plan)
        )
        record(connection, actor, "audit.confirming", row.job_id, {"audit": audit_id})


def write_findings(
    connection: sa.Connection,
    audit_id: str,
    task_id: str,
    summary: JSON,
    found: Sequence[Mapping[str, Any]],
    plan: JSON | None = None,
) -> None:
    """confirming → done, within the commit of its task, `task_id`. found: rows of `findings`, in order. plan: the
    audit's, where it has changed.

    Raises as `check_current`.
    """
    row = connection.execute(sa.select(audits).where(audits.c.id == audit_id).with_for_update()).one()
    check_current(row, task_id)
    values = {"summary": summary, "done_at": now()} | ({} if plan is None else {"plan": plan})
    connection.execute(sa.update(audits).where(audits.c.id == audit_id).values(**values))
    rows = [dict(row) | {"audit_id": audit_id, "position": position} for position, row in enumerate(found)]
    if rows:
        connection.execute(sa.insert(findings), rows)


def decide_finding(
    db: Database, audit_id: str, finding_id: str, changes: Mapping[str, Any], *, actor: str = "local"
) -> None:
    """Set what people decide about a finding: `accepted`, `dismissed` (the reason), `note`, `assignee`.

    NotFound where there is no such finding.
    """
    assert set(changes) <= set(DECISIONS)
    with db.begin() as connection:
        mine = sa.and_(findings.c.audit_id == audit_id, findings.c.id == finding_id)
        changed = connection.execute(
            sa.update(findings).where(mine).values(**changes, decided_by=actor, decided_at=now())
        )
        if not changed.rowcount:
            raise NotFound(f"audit {audit_id} has no finding {finding_id}")
        job_id = connection.execute(sa.select(audits.c.job_id).where(audits.c.id == audit_id)).scalar()
        details = {"audit": audit_id, "finding": finding_id, **changes}
        record(connection, actor, "finding.decided", job_id, details)


def restore_audit(db: Database, values: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> bool:
    """(nothing) → done, or without `done_at` → screened, from the files of the bucket.

    Returns False where the ledger has the audit.
    """
    with db.begin() as connection:
        created = connection.execute(
            insert(connection, audits).values(**values).on_conflict_do_nothing().returning(audits.c.id)
        ).scalar()
        if created is not None and found:
            connection.execute(sa.insert(findings), [dict(row) for row in found])
        return created is not None


def locked_audit(connection: sa.Connection, audit_id: str) -> tuple[sa.Row[Any], sa.Row[Any]]:
    """The row of an audit and that of its job, both locked."""
    job_id = connection.execute(sa.select(audits.c.job_id).where(audits.c.id == audit_id)).scalar()
    if job_id is None:
        raise NotFound(f"no audit {audit_id}; `gfi audits JOB` lists them")
    job = lock_job(connection, job_id)
    row = connection.execute(sa.select(audits).where(audits.c.id == audit_id).with_for_update()).one()
    return row, job


def add_audit_task(
    connection: sa.Connection,
    kind: ControlKind,
    job: sa.Row[Any],
    audit_id: str,
    owner: str,
    estimate_s: float | None = None,
) -> str:
    """(nothing) → pending, a task of an audit, with the priority of its job. Returns its id."""
    return add_control_task(
        connection,
        kind,
        job.id,
        {"audit": audit_id},
        owner=owner,
        priority=priority_in(job.queue, job.priority),
        estimate_s=estimate_s,
    )

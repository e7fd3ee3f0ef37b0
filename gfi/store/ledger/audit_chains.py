"""Audits that go on from an earlier one: each earlier audit is gone on from once, and does not go on itself then.

Two audits that go on from one would each count its evidence, and whoever saw both could choose the better one. What was
screened once stays the one that goes on, also when its job is deleted: the earlier audit's plan names it.
"""

from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import ACTIVE, OPEN
from gfi.store.errors import Conflict, NotFound
from gfi.store.tables import audits, control_tasks, jobs

UNTIL_SETTLED = "until_settled"
"""The option of an audit that makes its job longer; its value are the settings of the sequential tests."""
FOLLOWED_BY = "followed_by"


def follower_of(connection: sa.Connection, row: sa.Row[Any]) -> str | None:
    """The id of the audit that goes on from this one."""
    if UNTIL_SETTLED not in row.options:
        return None
    named = (row.plan or {}).get(FOLLOWED_BY)
    later = sa.select(audits.c.id, audits.c.options).where(
        audits.c.series == row.series, audits.c.id != row.id
    )
    found = [one.id for one in connection.execute(later) if _after(one.options) == row.id]
    return found[0] if found else named


def check_last(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Conflict where another audit goes on from this one."""
    if follower := follower_of(connection, row):
        raise Conflict(
            f"audit {follower} goes on from audit {row.id}: go on from that one, or begin anew; the same evidence "
            "would count twice"
        )


def go_on_from(connection: sa.Connection, earlier_id: str) -> None:
    """Check, within the transaction that submits an audit, that it may go on from this one. Locks the earlier audit.

    NotFound where it was deleted; Conflict where it is under way again, or another one goes on from it.
    """
    row = connection.execute(sa.select(audits).where(audits.c.id == earlier_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"audit {earlier_id} was deleted; audit without after")
    check_last(connection, row)
    task = sa.select(control_tasks.c.state).where(control_tasks.c.id == row.task_id)
    job = sa.select(jobs.c.state).where(jobs.c.id == row.job_id)
    active = connection.execute(job).scalar() in ACTIVE and row.done_at is None
    if active or connection.execute(task).scalar() in OPEN:
        raise Conflict(f"audit {earlier_id} is under way; wait for its end, or cancel it")


def screened_after(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Name an audit, which is screened now, in the plan of the one that it goes on from."""
    earlier = connection.execute(
        sa.select(audits).where(audits.c.id == _after(row.options)).with_for_update()
    ).first()
    if earlier is not None:
        plan = {**(earlier.plan or {}), FOLLOWED_BY: row.id}
        connection.execute(sa.update(audits).where(audits.c.id == earlier.id).values(plan=plan))


def _after(options: JSON) -> str | None:
    found = (options.get(UNTIL_SETTLED) or {}).get("after")
    return None if found is None else str(found)

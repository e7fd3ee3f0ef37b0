"""Audits that go on from an earlier one: each earlier audit is gone on from once, and does not go on itself then.

Two audits that go on from one would each count its evidence, and whoever saw both could choose the better one. What was
screened once stays the one that goes on, also when its job is deleted: the earlier audit's plan names it. What ended
before it was screened makes way for another one, and does not go on any more then.
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


def follower_of(connection: sa.Connection, row: sa.Row[Any], *, lost: bool = True) -> str | None:
    """The id of the audit that goes on from this one. lost: whether one that ended before it was screened counts."""
    if UNTIL_SETTLED not in row.options:
        return None
    return (row.plan or {}).get(FOLLOWED_BY) or _going_on(connection, row.series, row.id, lost=lost)


def _going_on(
    connection: sa.Connection, series: str, earlier_id: str, *, lost: bool, besides: str = ""
) -> str | None:
    """The id of an audit that goes on from an earlier one, and is not `besides`."""
    joined = audits.join(jobs, jobs.c.id == audits.c.job_id).outerjoin(
        control_tasks, control_tasks.c.id == audits.c.task_id
    )
    query = (
        sa.select(audits, jobs.c.state.label("job_state"), control_tasks.c.state.label("task_state"))
        .select_from(joined)
        .where(audits.c.series == series, audits.c.id.not_in([earlier_id, besides]))
        .order_by(audits.c.id)
    )
    for one in connection.execute(query):
        ended = one.job_state not in ACTIVE and one.task_state not in OPEN
        unscreened = one.screened_at is None and one.done_at is None
        if _after(one.options) == earlier_id and (lost or not (ended and unscreened)):
            return str(one.id)
    return None


def check_last(connection: sa.Connection, row: sa.Row[Any], *, lost: bool = True) -> None:
    """Conflict where another audit goes on from this one (`follower_of`), and as `check_alone`."""
    if follower := follower_of(connection, row, lost=lost):
        known = connection.execute(sa.select(audits.c.id).where(audits.c.id == follower)).scalar()
        if known is None:
            raise Conflict(
                f"audit {follower} went on from audit {row.id} and was deleted; begin anew without after: the same "
                "evidence would count twice"
            )
        raise Conflict(
            f"audit {follower} goes on from audit {row.id}: go on from that one, or begin anew; the same evidence "
            "would count twice"
        )
    check_alone(connection, row)


def check_alone(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Conflict where this audit ended before it was screened, and another one went on from the same earlier audit
    since. Locks the earlier audit."""
    earlier_id = _after(row.options)
    if earlier_id is None or row.screened_at is not None:
        return
    earlier = connection.execute(
        sa.select(audits.c.plan).where(audits.c.id == earlier_id).with_for_update()
    ).first()
    other = _going_on(connection, row.series, earlier_id, lost=False, besides=row.id)
    if earlier is not None and other is None:
        other = (earlier.plan or {}).get(FOLLOWED_BY)
    if other is not None and other != row.id:
        raise Conflict(
            f"audit {other} goes on from audit {earlier_id} instead of audit {row.id}: the same evidence would count "
            "twice"
        )


def go_on_from(connection: sa.Connection, earlier_id: str) -> None:
    """Check, within the transaction that submits an audit, that it may go on from this one. Locks the earlier audit.

    NotFound where it was deleted; Conflict where it is under way again, or another one goes on from it.
    """
    row = connection.execute(sa.select(audits).where(audits.c.id == earlier_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"audit {earlier_id} was deleted; audit without after")
    check_last(connection, row, lost=False)
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

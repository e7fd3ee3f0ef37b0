"""Rows that nobody asks for any more, removed some at a time: ended looks at data, and messages that were sent.

A schedule that looks at its data every ten seconds leaves three million tasks a year.
"""

import sqlalchemy as sa

from gfi.domain.states import OPEN, ControlKind
from gfi.store.database import Database, now
from gfi.store.tables import control_tasks, outbox

LOOKS_S = 7 * 86_400.0
MESSAGES_S = 30 * 86_400.0
AT_ONCE = 5000
"""Rows of one transaction; the next round takes more."""


def forget_looks(db: Database, older_s: float = LOOKS_S) -> int:
    """Remove looks at data that were requested longer ago than this and have ended. Returns how many.

    What was seen is kept with the schedule, and each firing is a row of its own.
    """
    old = (
        sa.select(control_tasks.c.id)
        .where(
            control_tasks.c.kind == ControlKind.LOOK.value,
            control_tasks.c.state.not_in(sorted(OPEN)),
            control_tasks.c.created_at < now() - older_s,
        )
        .limit(AT_ONCE)
    )
    with db.begin() as connection:
        return connection.execute(sa.delete(control_tasks).where(control_tasks.c.id.in_(old))).rowcount


def forget_messages(db: Database, older_s: float = MESSAGES_S) -> int:
    """Remove messages that were sent, or given up, longer ago than this. Returns how many."""
    old = sa.select(outbox.c.id).where(outbox.c.sent_at < now() - older_s).limit(AT_ONCE)
    with db.begin() as connection:
        return connection.execute(sa.delete(outbox).where(outbox.c.id.in_(old))).rowcount

"""The rows of deleted jobs, removed a batch at a time.

Once the row of a job is gone nothing shows its results, so they need not go in the same transaction: ten million rows
in one would take minutes, in which a stop of the process loses all of it. A process that ends in between leaves rows,
which `delete_leftovers` finds by the entries of the audit log.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from gfi.store.database import Database
from gfi.store.ledger.carrying import delete_unused_parts
from gfi.store.tables import (
    attempts,
    audit,
    image_columns,
    jobs,
    masks_due,
    result_orders,
    result_sums,
    results,
)

BATCH = 10_000
TABLES = (results, attempts, image_columns, result_sums, result_orders, masks_due)


def delete_rows(
    db: Database, job_id: str, batches: int | None = None, check: Callable[[], None] = lambda: None
) -> bool:
    """Delete the results of a job that has no row any more, each batch in a transaction of its own.

    batches: at most so many. check: called before each. Returns whether nothing is left.
    """
    for table in TABLES:
        after: tuple[Any, ...] | None = None
        while True:
            if batches is not None:
                if batches == 0:
                    return False
                batches -= 1
            check()
            after = _delete_batch(db, table, job_id, after)
            if after is None:
                break
    return True


def delete_leftovers(db: Database, check: Callable[[], None] = lambda: None) -> int:
    """Delete the results that deleted jobs have left. check: called between batches. Returns of how many jobs."""
    left = [sa.exists().where(table.c.job_id == audit.c.job_id).correlate(audit) for table in TABLES]
    gone = ~sa.exists().where(jobs.c.id == audit.c.job_id).correlate(audit)
    query = sa.select(audit.c.job_id).where(audit.c.action == "job.deleted", gone, sa.or_(*left)).distinct()
    with db.read() as connection:
        found = list(connection.execute(query).scalars())
    for job_id in found:
        delete_rows(db, job_id, check=check)
    delete_unused_parts(db)
    return len(found)


def _delete_batch(
    db: Database, table: sa.Table, job_id: str, after: tuple[Any, ...] | None
) -> tuple[Any, ...] | None:
    """Delete BATCH rows of a job from `after` on, in the order of the primary key. Returns where the next begin, None
    at the end.

    Both ends are in the condition. PostgreSQL keeps deleted rows in its indexes for a while, and from the beginning
    each batch would read those of all before it: of ten million rows 7,000 a second went, and ever fewer.
    """
    names = [column for column in table.primary_key.columns if column.name != "job_id"]
    key = sa.tuple_(*names)
    mine = [table.c.job_id == job_id]
    if after is not None:
        mine.append(key >= sa.tuple_(*map(sa.literal, after)))
    with db.begin() as connection:
        first = sa.select(*names).where(*mine).order_by(*names).offset(BATCH).limit(1)
        bound = connection.execute(first).first()
        if bound is not None:
            mine.append(key < sa.tuple_(*map(sa.literal, bound)))
        connection.execute(sa.delete(table).where(*mine))
    return None if bound is None else tuple(bound)

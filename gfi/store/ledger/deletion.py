"""The rows of deleted jobs, removed a batch at a time.

Once the row of a job is gone nothing shows its results, so they need not go in the same transaction: ten million rows
in one would take minutes, in which a stop of the process loses all of it. A process that ends in between leaves rows,
which `delete_leftovers` finds by the entries of the audit log.
"""

from collections.abc import Callable

import sqlalchemy as sa

from gfi.store.database import Database
from gfi.store.ledger.carrying import delete_unused_parts
from gfi.store.tables import attempts, audit, image_columns, jobs, result_orders, result_sums, results

BATCH = 10_000
TABLES = (results, attempts, image_columns, result_sums, result_orders)


def delete_rows(db: Database, job_id: str, batches: int | None = None) -> bool:
    """Delete the results of a job that has no row any more, each batch in a transaction of its own.

    batches: at most so many. Returns whether nothing is left.
    """
    for table in TABLES:
        while True:
            if batches is not None:
                if batches == 0:
                    return False
                batches -= 1
            if _delete_batch(db, table, job_id):
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
        while not delete_rows(db, job_id, len(TABLES)):
            check()
    delete_unused_parts(db)
    return len(found)


def _delete_batch(db: Database, table: sa.Table, job_id: str) -> bool:
    """Delete the first BATCH rows of a job in the order of the primary key. Returns whether these were the last."""
    key = [column for column in table.primary_key.columns if column.name != "job_id"]
    mine = table.c.job_id == job_id
    with db.begin() as connection:
        bound = connection.execute(sa.select(*key).where(mine).order_by(*key).offset(BATCH).limit(1)).first()
        which = [mine] if bound is None else [mine, sa.tuple_(*key) < sa.tuple_(*map(sa.literal, bound))]
        connection.execute(sa.delete(table).where(*which))
    return bound is None

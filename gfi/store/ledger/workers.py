"""Workers and their heartbeats."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.store.database import Database, insert, now
from gfi.store.tables import workers


def heartbeat(db: Database, columns: Mapping[str, Any]) -> None:
    """Record that a worker runs. columns: `id` and any other columns of table `workers` (device, rate, memory_mib …).

    Which queue a job goes to depends on it (`gfi.jobs.routing`), and what is shown. No lease does.
    """
    with db.begin() as connection:
        statement = insert(connection, workers).values(started_at=now(), seen_at=now(), **columns)
        changes = {name: statement.excluded[name] for name in ("seen_at", *columns) if name != "id"}
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes))


def forget_workers(db: Database, silent_s: float) -> int:
    """Remove workers without a heartbeat for `silent_s` seconds. Returns how many."""
    with db.begin() as connection:
        gone = connection.execute(sa.delete(workers).where(workers.c.seen_at < now() - silent_s))
        return gone.rowcount

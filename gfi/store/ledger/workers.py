"""Workers and their heartbeats."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.store.database import Database, insert, now
from gfi.store.tables import workers


def heartbeat(db: Database, facts: Mapping[str, Any]) -> None:
    """A worker says that it lives: `id`, and any other columns of table `workers` (device, rate, shard_id,
    memory_mib …). People look at this; nothing relies on it.
    """
    with db.begin() as connection:
        statement = insert(connection, workers).values(started_at=now(), seen_at=now(), **facts)
        changes = {name: statement.excluded[name] for name in ("seen_at", *facts) if name != "id"}
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes))


def forget_workers(db: Database, silent_s: float) -> int:
    """Remove workers not heard of for `silent_s` seconds. Returns how many."""
    with db.begin() as connection:
        gone = connection.execute(sa.delete(workers).where(workers.c.seen_at < now() - silent_s))
        return gone.rowcount

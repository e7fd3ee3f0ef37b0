"""One tick of a scheduler, against real databases."""

import sqlalchemy as sa

from gfi.store import ledger, queries
from gfi.store.broker import make_celery
from gfi.store.database import Database
from gfi.store.settings import Settings
from gfi.store.tables import workers
from scheduler.loop import FORGET_WORKERS_S, Scheduler


def test_workers_that_are_long_gone_leave_the_list(database: Database) -> None:
    for name in ("gone", "here"):
        ledger.heartbeat(database, {"id": name, "state": "up"})
    with database.begin() as connection:
        long_ago = sa.update(workers).where(workers.c.id == "gone")
        connection.execute(long_ago.values(seen_at=workers.c.seen_at - FORGET_WORKERS_S - 1.0))
    settings = Settings(redis_url="redis://127.0.0.1:1")  # nothing is published
    Scheduler(settings, database, make_celery(settings, "test")).tick()
    assert [worker.id for worker in queries.list_workers(database)] == ["here"]

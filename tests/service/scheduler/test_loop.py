"""One tick of a scheduler, against real databases."""

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from gfi.domain.states import ControlKind, ShardState
from gfi.store import ledger, queries
from gfi.store.broker import make_celery
from gfi.store.database import Database
from gfi.store.settings import Settings
from gfi.store.tables import control_tasks, workers
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


def test_the_sweep_is_requested_by_itself_and_once_whoever_asks(database: Database) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1", sweep_every_s=3600.0)
    schedulers = [Scheduler(settings, database, make_celery(settings, "test")) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(Scheduler.tick, schedulers))
    assert sweeps(database) == [ShardState.PENDING]
    claim = ledger.claim_control(database, "control", 60.0)
    assert claim is not None
    assert queries.last_sweep(database) is None
    assert ledger.finish_control(database, claim, {"deleted": 2})
    last = queries.last_sweep(database)
    assert last is not None
    assert last["result"] == {"deleted": 2}
    assert ledger.request_sweep(database, 3600.0) is None, "one was just done"
    with database.begin() as connection:
        earlier = sa.update(control_tasks).values(created_at=control_tasks.c.created_at - 3601.0)
        connection.execute(earlier)
    assert ledger.request_sweep(database, 3600.0) is not None
    assert sweeps(database) == [ShardState.DONE, ShardState.PENDING]


def test_no_sweep_is_requested_where_the_interval_is_zero(database: Database) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1", sweep_every_s=0.0)
    Scheduler(settings, database, make_celery(settings, "test")).tick()
    assert sweeps(database) == []


def sweeps(database: Database) -> list[str]:
    """The states of all sweep tasks, oldest first."""
    query = sa.select(control_tasks.c.state).where(control_tasks.c.kind == ControlKind.SWEEP.value)
    with database.read() as connection:
        return list(connection.execute(query.order_by(control_tasks.c.created_at)).scalars())

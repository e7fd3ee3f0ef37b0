"""The contract of a kind of task, tested with a small kind: it counts to a number and writes each number into its own
table.

Progress, cancel, resume, retry, deaths and quarantine are the same for every kind.
"""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from gfi.domain import tasks
from gfi.domain.errors import MethodError
from gfi.domain.records import ControlClaim
from gfi.domain.states import ShardState
from gfi.domain.tasks import TaskKind
from gfi.jobs.task_run import LONGEST_REASON, TaskLease, TaskRun, perform
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Transient
from gfi.store.queries import Task
from gfi.store.tables import control_tasks
from tests.service.store.ledger_actors import LEASE, OVER

KIND = "count"
counted = sa.table("counted", sa.column("task", sa.Text), sa.column("number", sa.Integer))


class World:
    """Where and how the handler fails."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.stop = threading.Event()
        self.stop_at: int | None = None
        self.fail_at: tuple[int, Exception] | None = None

    def numbers(self) -> list[int]:
        """What was written, in order."""
        with self.database.read() as connection:
            return list(connection.execute(sa.select(counted.c.number).order_by(counted.c.number)).scalars())

    def claim(self, lease_s: float = LEASE) -> ControlClaim:
        claimed = ledger.claim_work(self.database, "worker", "explain", lease_s, kinds=[KIND])
        assert isinstance(claimed, ControlClaim)
        return claimed

    def perform(self, claim: ControlClaim | None = None) -> str:
        self.stop.clear()
        run = TaskRun(self.database, claim or self.claim(), self.stop)
        return perform(self, run, {KIND: count})

    def at_once(self) -> None:
        """End the pause before the next attempt."""
        with self.database.begin() as connection:
            connection.execute(sa.update(control_tasks).values(not_before=0.0))


def count(world: World, run: TaskRun) -> str:
    first, last = run.progress.get("done", 0), run.claim.payload["to"]
    for number in range(first, last):
        if world.fail_at is not None and world.fail_at[0] == number:
            raise world.fail_at[1]
        if world.stop_at == number:
            world.stop.set()
        run.check()

        def write(connection: sa.Connection, number: int = number) -> None:
            connection.execute(sa.insert(counted).values(task=run.claim.task_id, number=number))

        if number < last - 1:
            run.save(write, done=number + 1, total=last)
        elif not run.finish({"counted": last}, write):
            return "too late"
    return "counted"


@pytest.fixture
def world(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A database with the kind's own table."""
    monkeypatch.setitem(tasks.KINDS, KIND, TaskKind(KIND, "network", "count", "explain"))
    with database.begin() as connection:
        connection.execute(sa.text("CREATE TABLE counted (task TEXT, number INTEGER UNIQUE)"))
    yield World(database)
    with database.begin() as connection:
        connection.execute(sa.text("DROP TABLE counted"))


def requested(world: World, to: int = 4) -> str:
    return ledger.request_task(world.database, KIND, {"to": to}, owner="ada")[0]


def found(world: World, task: str) -> Task:
    return queries.get_task(world.database, task)


def test_a_task_that_is_stopped_goes_on_from_what_it_has_saved(world: World) -> None:
    task, world.stop_at = requested(world), 2
    assert world.perform() == "interrupted"
    assert (found(world, task).state, found(world, task).progress) == (
        ShardState.PENDING,
        {"done": 2, "total": 4},
    )
    world.stop_at = None
    assert world.perform() == "counted"
    assert world.numbers() == [0, 1, 2, 3]  # each once: the table refuses a second
    assert (found(world, task).state, found(world, task).result) == (ShardState.DONE, {"counted": 4})


def test_a_worker_that_lost_its_task_writes_nothing_more(world: World) -> None:
    task = requested(world)
    late = world.claim(OVER)
    assert ledger.expire_control(world.database) == [task]
    assert world.perform() == "counted"
    assert world.perform(late) == "interrupted"
    assert world.numbers() == [0, 1, 2, 3]


def test_a_cancelled_task_writes_nothing_more_and_can_be_retried(world: World) -> None:
    task, world.stop_at = requested(world), 1
    held = world.claim()
    with TaskLease(world.database, held, lease_s=LEASE, shutdown=threading.Event()) as lease:
        assert lease.renew()
        assert ledger.cancel_task(world.database, task)
        assert not ledger.cancel_task(world.database, task)
        assert not lease.renew()
        assert lease.stop.is_set()
    assert world.perform(held) == "interrupted"
    assert world.numbers() == []
    world.stop_at = None
    ledger.retry_task(world.database, task)
    assert world.perform() == "counted"


def test_a_fault_that_may_pass_is_tried_again_and_one_that_does_not_is_not(world: World) -> None:
    task, world.fail_at = requested(world), (1, Transient("the bucket is away"))
    assert world.perform() == "failed"
    assert (found(world, task).state, found(world, task).reason) == (ShardState.PENDING, "the bucket is away")
    world.at_once()
    world.fail_at = (1, MethodError("no such layer"))
    assert world.perform() == "failed"
    assert (found(world, task).state, found(world, task).reason) == (ShardState.FAILED, "no such layer")
    world.fail_at = None
    ledger.retry_task(world.database, task)
    assert world.perform() == "counted"
    assert world.numbers() == [0, 1, 2, 3]


def test_a_reason_that_no_database_stores_is_a_failure_all_the_same(world: World) -> None:
    """PostgreSQL refuses NUL, and both refuse half a surrogate pair: the task stayed leased, its lease ran out as if
    its worker had died, and it was tried again without end."""
    asked = requested(world)
    world.fail_at = (0, MethodError("the header is 'a\0b\ud800'" + "x" * 100_000))
    assert world.perform() == "failed"
    task = found(world, asked)
    assert task.state is ShardState.FAILED
    assert str(task.reason).startswith("the header is 'a\\0b\\ud800'x")
    assert len(str(task.reason)) == LONGEST_REASON


def test_a_task_that_kills_every_worker_is_given_up_where_no_other_work_kills(world: World) -> None:
    task = requested(world)
    for _ in range(20):
        if found(world, task).ended:
            break
        world.claim(OVER)
        assert ledger.expire_control(world.database) == [task]
        world.at_once()
    given_up = found(world, task)
    assert given_up.state is ShardState.FAILED
    assert given_up.deaths == 8  # the limit of an image, without any other work
    assert "workers died while they worked on it" in (given_up.reason or "")


def test_progress_is_shown_while_the_task_runs(world: World) -> None:
    task = requested(world)
    held = world.claim()
    with TaskLease(world.database, held, lease_s=LEASE, shutdown=threading.Event()) as lease:
        TaskRun(world.database, held, lease.stop, lease).progressed(done=3, total=4)
        assert lease.renew()
    assert found(world, task).progress == {"done": 3, "total": 4}

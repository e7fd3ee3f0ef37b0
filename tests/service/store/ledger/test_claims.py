"""Which shard is claimed: priority, then fairness between jobs; also during a job of ten million images."""

import threading
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.tables import shards
from tests.service.store.ledger_actors import (
    LEASE,
    claim,
    commit,
    plan,
)


def test_a_single_worker_takes_turns_between_jobs(database: Database) -> None:
    big, small = plan(database, total=8, size=1), plan(database, total=2, size=1)
    order = []
    for _ in range(4):
        held = claim(database, prefer=f"{big}-7")  # the messages in Redis are all the big job's
        order.append(held.job_id)
        assert commit(database, held)
    assert order == [big, small, big, small]


def test_a_small_job_behind_a_big_one_is_next(database: Database) -> None:
    big = plan(database, total=100, size=10)
    assert claim(database).job_id == big
    small = plan(database, total=1)
    assert claim(database).job_id == small
    assert [claim(database).start for _ in range(2)] == [10, 20]


def test_workers_are_shared_evenly_among_jobs(database: Database) -> None:
    jobs = {plan(database, total=10, size=1) for _ in range(3)}
    claimed = [claim(database).job_id for _ in range(9)]
    assert {claimed.count(job) for job in jobs} == {3}


def test_priority_comes_before_fairness(database: Database) -> None:
    plan(database)
    urgent = plan(database, total=3, size=1, priority=5)
    assert {claim(database).job_id for _ in range(3)} == {urgent}
    late = plan(database, total=3, size=1)
    ledger.set_priority(database, late, 9)
    assert claim(database).job_id == late


def test_the_preferred_shard_breaks_ties_and_no_more(database: Database) -> None:
    first = plan(database, total=4, size=1)
    second = plan(database, total=4, size=1)
    assert claim(database, prefer=f"{second}-2").shard_id == f"{second}-2"
    assert claim(database, prefer=f"{second}-3").job_id == first  # it has fewer leased shards
    assert claim(database, prefer="no-such-shard").shard_id == f"{first}-1"


def test_a_job_frozen_to_one_kind_of_device_waits_for_it(database: Database) -> None:
    job = plan(database)
    ledger.freeze_profile(database, job, {"batch": 8}, "cuda:H200")
    assert ledger.claim_shard(database, "w", "explain", LEASE, device_kind="cpu") is None
    (hint, *_) = hints = ledger.dispatch(database, 10, LEASE)
    assert ledger.claim_shard(database, "w", "explain", LEASE, prefer=hint.id, device_kind="cpu") is None
    assert ledger.dispatch(database, 10, LEASE) == [hint], "the wrong worker took its message"
    assert len(hints) > 1
    assert claim(database, device_kind="cuda:H200").profile == {"batch": 8}


def test_queues_are_kept_apart(database: Database) -> None:
    plan(database, queue="interactive")
    assert ledger.claim_shard(database, "w", "explain", LEASE) is None
    assert ledger.claim_shard(database, "w", "interactive", LEASE) is not None


def test_eight_claiming_at_once_take_every_shard_once(database: Database) -> None:
    plan(database, total=40, size=1)
    plan(database, total=20, size=1)
    taken: list[tuple[str, int]] = []
    barrier = threading.Barrier(8)

    def work(name: int) -> None:
        barrier.wait()
        idle = 0
        while idle < 3:  # a shard that another worker has locked still waits: try again
            got = ledger.claim_shard(database, f"w{name}", "explain", LEASE)
            idle = 0 if got else idle + 1
            if got:
                taken.append((got.shard_id, got.fence))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(taken) == len(set(taken)) == 60


IMAGES, SHARD = 9_600_000, 64
SMALL = 30


def test_small_jobs_behind_ten_million_images_are_next_and_no_claim_reads_the_table(
    database: Database,
) -> None:
    big = plan(database, total=IMAGES, size=SHARD)
    with database.begin() as connection:
        half = sa.update(shards).where(shards.c.start < IMAGES // 2)
        connection.execute(half.values(state="done", done_at=1.0))
    assert claim(database).job_id == big
    # The statistics of a busy database: one job owns most of the table. PostgreSQL then prefers to scan the table.
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    small = [plan(database, total=2 * SHARD, size=SHARD) for _ in range(SMALL)]

    asked = _listen(database)
    order = []
    for _ in range(SMALL):
        held = claim(
            database, prefer=f"{big}-{IMAGES - SHARD}"
        )  # the messages in Redis are all the big job's
        order.append(held.job_id)
        assert commit(database, held)
    assert order == small, "each small job is served before the big one again"
    assert claim(database).job_id in small, "the big job has a leased shard, and they have none"
    ledger.dispatch(database, 64, LEASE)
    ledger.expire_leases(database)
    ledger.finish_jobs(database)
    for statement, values in list(asked):
        if "shards" in statement and not statement.startswith("INSERT"):
            _uses_an_index(database, statement, values)


def _listen(database: Database) -> list[tuple[str, object]]:
    asked: list[tuple[str, object]] = []

    def note(*given: object) -> None:
        asked.append((str(given[2]), given[3]))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    return asked


def _uses_an_index(database: Database, statement: str, values: object) -> None:
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    with database.read() as connection:
        plan = "\n".join(map(str, connection.exec_driver_sql(explain + statement, values)))  # type: ignore[arg-type]
    reads_all = "SCAN shards'" if database.is_sqlite else "Seq Scan on shards"
    assert reads_all not in plan, f"{statement}\n{plan}"

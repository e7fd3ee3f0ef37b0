"""The load of 256 workers on the ledger, for `benchmarks.scale`: each commits a shard every 30 s and claims another.

Their times are spread evenly, over 64 connections in processes of eight. One job of ten million images is running; then
thirty small ones are submitted.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import sqlalchemy as sa

from benchmarks.scale import LEASE_S, SHARD, Figures, Worked, planned, seconds, shard_results
from gfi.domain.ids import new_id
from gfi.domain.records import PartRecord, ShardClaim
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.tables import jobs, shards

WORKERS, CONNECTIONS, SHARD_S = 256, 64, 30.0
PROCESSES = 8
BIG = 10_000_000
SMALL = 30
BY = "clients, which generate the results, share the cores with PostgreSQL"


def serve(url: str, name: str, begin_at: float, seconds_: float, places: Sequence[float]) -> Worked:
    """The workers of one process, a thread and a connection for every four.

    places: of each worker, when in its SHARD_S it commits. begin_at: on the clock of the system. Each worker
    claims before that.
    """
    database = Database(url, pool_size=len(places))
    claims_s: list[float] = []
    commits_s: list[float] = []
    each = WORKERS // CONNECTIONS

    def connection(number: int) -> None:
        mine = sorted(places[number * each : (number + 1) * each])
        held: list[ShardClaim | None] = []
        for place in range(each):
            held.append(ledger.claim_shard(database, f"{name}-{number}-{place}", "explain", LEASE_S))
        turn = 0
        while True:
            place = turn % each
            due = begin_at + turn // each * SHARD_S + mine[place]
            if due > begin_at + seconds_:
                return
            claim = held[place]
            rows = shard_results(claim) if claim is not None else []
            time.sleep(max(0.0, due - time.time()))
            if claim is not None:
                part = PartRecord(new_id(), f"parts/{new_id()}", "0" * 64, 1, len(rows))
                took, done = seconds(
                    lambda: ledger.commit_shard(database, claim, claim.stop, part, rows)  # noqa: B023 - called here
                )
                assert done
                commits_s.append(took)
            took, held[place] = seconds(
                lambda: ledger.claim_shard(database, f"{name}-{number}-{place}", "explain", LEASE_S)  # noqa: B023
            )
            claims_s.append(took)
            turn += 1

    with ThreadPoolExecutor(len(places) // each) as pool:
        list(pool.map(connection, range(len(places) // each)))
    database.dispose()
    return Worked(claims_s, commits_s, begin_at, time.time())


def measure(
    url: str,
    database: Database,
    figures: Figures,
    seconds_: float,
    *,
    workers: int = WORKERS,
    processes: int = PROCESSES,
    images: int = BIG,
    start_s: float = 30.0,
) -> None:
    """Run the load for so many seconds and add its figures. start_s: for the processes to start and claim."""
    took, big = seconds(lambda: planned(database, images))
    figures.add("planning's last transaction, its shards inserted", images, took, "s")
    begin_at = time.time() + start_s
    share = workers // processes
    pages: list[float] = []
    alone_s: list[float] = []
    small: list[str] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = []
        for number in range(processes):
            places = [
                SHARD_S * (number + processes * place) / workers for place in range(share)
            ]  # so that all processes are busy at any time
            running.append(pool.submit(serve, url, f"w{number}", begin_at, seconds_, places))
        time.sleep(max(0.0, begin_at - time.time()))
        while not all(future.done() for future in running):
            # A worker of its own: the threads of a process also wait for each other's commits.
            alone_s.append(seconds(lambda: ledger.claim_shard(database, "alone", "explain", LEASE_S))[0])
            if len(alone_s) % 4 == 0:
                pages.append(seconds(lambda: queries.list_results(database, big, limit=200))[0])
            if not small and time.time() > begin_at + seconds_ / 3:
                small = [planned(database, 2 * SHARD) for _ in range(SMALL)]
            time.sleep(0.1)
        done = [future.result() for future in running]
    commits_s = [t for one in done for t in one.commits_s]
    load = f"{workers} workers"
    rate = SHARD * len(commits_s) / (max(one.ended for one in done) - begin_at)
    figures.add(f"committed, {load}, each {SHARD} every {SHARD_S:.0f} s", images, rate, "results/s", 2000, BY)
    figures.add_times(f"claim, {load}", images, [t for one in done for t in one.claims_s], 50, BY)
    figures.add_times(f"claim beside {load}, in a process of its own", images, alone_s, 50, BY)
    figures.add_times(f"commit of {SHARD}, {load}", images, commits_s, None, BY)
    figures.add_times(f"gallery's first page, {load}", images, pages, 200, BY)
    _neighbours(database, figures, small, images)
    for job in (big, *small):
        ledger.cancel_job(database, job)


def _neighbours(database: Database, figures: Figures, small: list[str], images: int) -> None:
    """How long the small jobs waited for their first shard."""
    first = sa.select(sa.func.min(shards.c.leased_at)).where(shards.c.job_id == jobs.c.id).scalar_subquery()
    with database.read() as connection:
        waits = connection.execute(sa.select(first - jobs.c.planned_at).where(jobs.c.id.in_(small))).scalars()
        waited = [wait for wait in waits if wait is not None]
    what = f"longest wait of {len(waited)} of {len(small)} small jobs for their first shard"
    figures.add(what, images, max(waited), "s", SHARD_S, "a worker is free every 0.12 s")

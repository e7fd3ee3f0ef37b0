"""Workers, schedulers and users at once, each in its own thread, on one database.

`test_interleavings` chooses the order of whole transactions; in this test they overlap. A deadlock would appear as an
error, a lost or doubled row in the tables at the end.
"""

import contextlib
import random
import threading
import time

import sqlalchemy as sa

from gfi.domain.records import JobSpec
from gfi.domain.states import ControlKind, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict
from gfi.store.tables import shards
from tests.service.store.ledger_actors import LEASE, OVER, part, plan, recorded, records

IMAGES = 60
WORKER_TURNS, OTHER_TURNS = 80, 35  # about three seconds on two cores


def test_workers_schedulers_and_people_at_once_lose_and_double_nothing(database: Database) -> None:
    jobs = [plan(database, total=IMAGES, size=6) for _ in range(3)]
    errors: list[BaseException] = []

    def start(seed: int, turns: int, act) -> threading.Thread:
        def run() -> None:
            chance = random.Random(seed)
            try:
                for _ in range(turns):
                    act(chance)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def worker(chance: random.Random) -> None:
        claim = ledger.claim_shard(database, "w", "explain", OVER if chance.random() < 0.2 else LEASE)
        if claim is None:
            time.sleep(0.01)
            return
        ledger.renew_lease(database, claim, OVER if chance.random() < 0.2 else LEASE, in_flight=[claim.start])
        upto = chance.randint(claim.start + 1, claim.stop)
        if chance.random() < 0.2:
            ledger.release_shard(database, claim, "SIGTERM")
        else:
            rows = records(range(claim.start, upto))
            ledger.commit_shard(database, claim, upto, part(claim, len(rows)), rows)

    def scheduler(chance: random.Random) -> None:
        ledger.expire_leases(database)
        ledger.dispatch(database, 8, LEASE)
        ledger.finish_jobs(database)
        while (task := ledger.claim_control(database, "c", LEASE)) is not None:
            if task.kind is ControlKind.RETRY:
                ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
            else:
                ledger.finish_control(database, task)
        time.sleep(0.02)

    def person(chance: random.Random) -> None:
        job = chance.choice(jobs)
        act = chance.choice([ledger.cancel_job, ledger.retry_job, ledger.pause_job, ledger.resume_job])
        with contextlib.suppress(Conflict):
            act(database, job)
        ledger.submit_job(database, JobSpec(config={"same": True}))
        queries.job_progress(database, job)
        time.sleep(0.02)

    threads = [start(seed, WORKER_TURNS, worker) for seed in range(4)]
    threads += [start(seed, OTHER_TURNS, scheduler) for seed in (11, 12)]
    threads += [start(21, OTHER_TURNS, person)]
    for thread in threads:
        thread.join()
    assert errors == []

    # Do all the remaining work: cancelled jobs are retried, leases expire.
    for job in jobs:
        while True:
            with database.begin() as connection:
                connection.execute(
                    sa.update(shards).where(shards.c.state == ShardState.LEASED.value).values(lease_until=0.0)
                )
            ledger.expire_leases(database)
            state = queries.get_job(database, job)
            if state.ended and len(recorded(database, job)) == IMAGES:
                break
            if state.ended:
                ledger.retry_job(database, job)
            else:
                ledger.resume_job(database, job)
            scheduler(random.Random(0))
            while (claim := ledger.claim_shard(database, "w", "explain", LEASE)) is not None:
                rows = records(
                    range(claim.start, claim.stop), ImageStatus.ERROR if claim.quarantined else ImageStatus.OK
                )
                assert ledger.commit_shard(database, claim, claim.stop, part(claim, len(rows)), rows)
            ledger.finish_jobs(database)
        spans = sorted((row["start"], row["stop"]) for row in queries.list_shards(database, job, limit=1000))
        assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
        assert queries.job_progress(database, job).done == IMAGES

"""Scenarios 3 to 6: faults of Redis, the database and the bucket, and messages that are repeated."""

import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.chaos.deployment import LEASE_S, Deployment
from tests.chaos.verify import verify
from tests.chaos.world import SLOW, Row, World, lease, row, until_commit


def redis_faults(world: World, seed: int, full: bool) -> Row:
    """3. Redis killed and restarted with and without its data, away for long, frozen for longer than leases, emptied,
    full.
    """
    rng = random.Random(seed)
    redis = world.servers.redis
    photographs = world.photographs(5000 if full else 400)

    def killed(keep: bool) -> None:
        redis.kill()
        time.sleep(0.5)
        redis.restart(keep=keep)

    def frozen() -> None:
        with redis.frozen():
            time.sleep(lease(full) + 1.5)

    def full_memory() -> None:
        with redis.full():
            time.sleep(LEASE_S if full else 1.0)

    rounds = 4 if full else 1
    with Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment:
        deployment.start_all(2, pace={"step_s": 0.1})
        job = deployment.submit(photographs)

        def away() -> None:
            deployment.wait(job, 60, until=lambda progress: progress.in_flight > 0)
            redis.kill()
            # Every worker finishes its shard, but cannot acknowledge its message.
            deployment.wait(job, 60, until=lambda progress: not progress.shards["leased"])
            redis.restart()

        faults: list[Callable[[], object]] = [
            lambda: killed(True),
            lambda: killed(False),
            redis.client.flushall,
            full_memory,
            frozen,
            away,
        ]
        deployment.wait(job, 60, until=lambda progress: progress.done > 0)
        recoveries = []
        for _ in range(rounds):
            for fault in rng.sample(faults, len(faults)):
                fault()
                recoveries.append(until_commit(deployment, job))
        deployment.wait(job, 600)
        verdict = verify(deployment, job, photographs, world.undisturbed)
    return row(3, seed, [verdict], rounds * len(faults), recoveries)


def database_faults(world: World, seed: int, full: bool) -> Row:
    """4. PostgreSQL killed in mid-commit and restarted, its connections cut and swallowed; SQLite locked."""
    rng = random.Random(seed)
    postgres, proxy = world.servers.postgres, world.servers.postgres_proxy
    photographs = world.photographs(3000 if full else 300)

    def killed() -> None:
        postgres.crash()
        time.sleep(rng.uniform(0.1, 1.0))
        postgres.restart()

    def swallowed() -> None:
        proxy.black_hole = True
        time.sleep(lease(full) + 1.0)
        proxy.cut()
        proxy.black_hole = False

    faults: list[Callable[[], object]] = [killed, proxy.cut, killed, swallowed]
    verdicts, recoveries, rounds = [], [], 4 if full else 1
    with Deployment(world.servers, "postgres", proxied="postgres", lease_s=lease(full)) as deployment:
        deployment.start_all(2, pace={"step_s": 0.08})
        job = deployment.submit(photographs)
        deployment.wait(job, 60, until=lambda progress: progress.done > 0)
        for _ in range(rounds):
            for fault in rng.sample(faults, len(faults)):
                time.sleep(rng.uniform(0.0, 0.5))
                fault()
                recoveries.append(until_commit(deployment, job))
        deployment.wait(job, 600)
        verdicts.append(verify(deployment, job, photographs, world.undisturbed))
    photographs = world.photographs(300 if full else 200)
    with Deployment(world.servers, "sqlite", lease_s=lease(full)) as deployment:
        deployment.start_all(2, pace=SLOW)
        job = deployment.submit(photographs)
        deployment.wait(job, 60, until=lambda progress: progress.done > 0)
        _lock_sqlite(Path(deployment.database_url.removeprefix("sqlite:///")), 20.0 if full else 4.0)
        recoveries.append(until_commit(deployment, job))
        deployment.wait(job, 120)
        verdicts.append(verify(deployment, job, photographs, world.undisturbed))
    return row(4, seed, verdicts, rounds * len(faults) + 1, recoveries)


def _lock_sqlite(path: Path, seconds: float) -> None:
    """Another program holds the write lock for a while."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        other.execute("ROLLBACK")


def bucket_faults(world: World, seed: int, full: bool) -> Row:
    """5. S3 answers 500 and 503, resets, takes half an upload, damages bodies, is slow, has a full disk."""
    proxy = world.servers.s3_proxy
    photographs = world.photographs(3000 if full else 300)
    chance = 0.06 if full else 0.05
    usual = dict.fromkeys(
        ("500", "503", "reset", "reset after", "truncate", "corrupt", "corrupt answer", "slow"), chance
    )
    with Deployment(world.servers, "postgres", proxied="s3") as deployment:
        proxy.dice = random.Random(seed)
        proxy.seen.clear()
        proxy.faults = usual
        try:
            deployment.start_all(3, pace=SLOW)
            job = deployment.submit(photographs)
            deployment.wait(job, 120, until=lambda progress: progress.done > 0)
            proxy.faults = {"full": 1.0}
            time.sleep(6.0 if full else 2.0)
            proxy.faults = usual
            recoveries = [until_commit(deployment, job)]
            deployment.wait(job, 600)
        finally:
            proxy.faults = {}
        verdict = verify(deployment, job, photographs, world.undisturbed)
    faults = sum(number for fault, number in proxy.seen.items() if fault != "none")
    assert faults, "no request met a fault"
    return row(5, seed, [verdict], faults, recoveries)


def messages_repeated(world: World, seed: int, full: bool) -> Row:
    """6. Every message delivered three times; messages come back after 5 s while a shard takes 30 s."""
    photographs = world.photographs(640 if full else 200)
    visible, pace = (5, {"step_s": 0.9}) if full else (1, {"step_s": 0.08})
    with Deployment(world.servers, "postgres", shard_seconds=60.0) as deployment:
        tally = deployment.directory / "messages.tally"
        deployment.start("scheduler", copies=3, tally=str(tally))
        deployment.start("control", visibility_timeout_s=visible, tally=str(tally))
        deployment.start("worker", 3, visibility_timeout_s=visible, pace=pace, tally=str(tally))
        job = deployment.submit(photographs)
        deployment.wait(job, 600)
        verdict = verify(deployment, job, photographs, world.undisturbed)
        assert not deployment.incidents(job, "death"), "a shard was taken from a living worker"
        told = Counter(tally.read_text().split())
    assert told["copy"], "no message was delivered more than once"
    assert told["again"], "no message outlived its visibility timeout"
    detail = f"{told['copy']} messages too many, {told['again']} brought back by the visibility timeout"
    return row(6, seed, [verdict], told.total(), [], detail)

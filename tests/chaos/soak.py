"""Scenario 10: mixed jobs with random faults for a long time; resource use must not grow.

Small jobs, large ones, urgent ones, some cancelled, some paused and resumed, one after the other, while workers,
schedulers, Redis and PostgreSQL are killed and S3 misbehaves. Every few seconds the memory and open files of the oldest
worker, the connections of PostgreSQL and the keys and memory of Redis are recorded; the medians of the last third must
not exceed those of the middle third by more than a margin for noise.
"""

import contextlib
import random
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import TypeVar

import psutil

from gfi.domain.states import JobState
from gfi.store import ledger, queries
from gfi.store.errors import Conflict, StoreError, Transient
from tests.chaos.deployment import Deployment
from tests.chaos.verify import Verdict, verify
from tests.chaos.world import Row, World, row

Answer = TypeVar("Answer")
SAMPLE_S = 5.0


@dataclass(frozen=True)
class Sample:
    """Memory (MiB) and open files of the spared worker, clients of PostgreSQL, keys and memory (MiB) of Redis."""

    memory_mib: float
    files: int
    connections: int
    redis_keys: int
    redis_mib: float


MARGINS = Sample(memory_mib=48, files=24, connections=24, redis_keys=12, redis_mib=8)
"""Noise: a shard under way, a pool that fills, a kill that resets a counter."""


def soak(world: World, seed: int, seconds: float) -> Row:
    """Run for `seconds`; AssertionError if an image is lost or resource use grows."""
    rng = random.Random(seed)
    verdicts: list[Verdict] = []
    samples: list[Sample] = []
    assert world.undisturbed, "made before anything is disturbed"
    with Deployment(world.servers, "postgres", proxied="s3 postgres") as deployment:
        deployment.start("scheduler", 2)
        deployment.start("control")
        deployment.start("worker", 2, pace={"step_s": 0.01})
        (steady,) = deployment.start("worker", pace={"step_s": 0.01})
        world.servers.s3_proxy.dice = random.Random(seed)
        world.servers.s3_proxy.faults = dict.fromkeys(("500", "503", "reset", "truncate", "corrupt"), 0.01)
        faults, ended = [0], threading.Event()
        trouble = threading.Thread(
            target=_trouble, args=(deployment, rng, ended, faults, steady.number), daemon=True
        )
        watch = threading.Thread(target=_watch, args=(deployment, steady.number, ended, samples), daemon=True)
        trouble.start()
        watch.start()
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                verdicts += _round(world, deployment, rng)
        finally:
            still = trouble.is_alive()
            ended.set()
            trouble.join(60)
            watch.join(60)
            world.servers.s3_proxy.faults = {}
        recoveries = list(deployment.recoveries.by_role["worker"])
    print(f"{len(verdicts)} jobs, {len(samples)} samples: first {samples[:1]}, last {samples[-1:]}")
    assert still, "nothing went wrong any more: see the traceback of the thread that makes trouble"
    _flat(samples)
    return row(10, seed, verdicts, faults[0], recoveries)


def _round(world: World, deployment: Deployment, rng: random.Random) -> list[Verdict]:
    """Run a few jobs concurrently, then verify each."""
    jobs = []
    for _ in range(rng.randint(1, 3)):
        photographs = world.photographs(rng.choice((40, 100, 300)))
        priority = rng.randint(-1, 1)
        jobs.append((_insist(partial(deployment.submit, photographs, priority=priority)), photographs))
    fate, (victim, _) = rng.random(), jobs[0]
    if fate < 0.2:
        time.sleep(rng.uniform(0.0, 2.0))
        _unless_ended(lambda: ledger.cancel_job(deployment.database, victim))
        deployment.wait(victim, 300)
        if _insist(lambda: queries.get_job(deployment.database, victim)).state is JobState.CANCELLED:
            deployment.eventually(
                lambda: not deployment.progress(victim).shards["leased"], 60, "its workers let go"
            )
            _unless_ended(lambda: ledger.retry_job(deployment.database, victim))
    elif fate < 0.4:
        _unless_ended(lambda: ledger.pause_job(deployment.database, victim))
        time.sleep(rng.uniform(0.0, 2.0))
        _unless_ended(lambda: ledger.resume_job(deployment.database, victim))
    verdicts = []
    for job, photographs in jobs:
        deployment.wait(job, 300)
        verdicts.append(_insist(partial(verify, deployment, job, photographs, world.undisturbed)))
    return verdicts


def _insist(ask: Callable[[], Answer]) -> Answer:
    """Until the database answers."""
    while True:
        try:
            return ask()
        except Transient:
            time.sleep(0.2)


def _unless_ended(ask: Callable[[], object]) -> None:
    """Repeat until the database answers; a job that has ended meanwhile is not changed."""
    with contextlib.suppress(Conflict):
        _insist(ask)


def _trouble(
    deployment: Deployment, rng: random.Random, ended: threading.Event, count: list[int], spared: int
) -> None:
    """Cause a fault every few seconds; one worker is never killed, so that its memory and files can be observed."""
    servers = deployment.servers

    def kill(role: str) -> None:
        victims = [each for each in deployment.living(role) if each.number != spared]
        if victims:
            deployment.kill(rng.choice(victims))

    def redis() -> None:
        servers.redis.kill()
        servers.redis.restart(keep=rng.random() < 0.5)

    def postgres() -> None:
        servers.postgres.crash()
        servers.postgres.restart()

    usual: list[Callable[[], object]] = [
        lambda: kill("worker"),
        lambda: kill("scheduler"),
        lambda: kill("control"),
        servers.postgres_proxy.cut,
    ]
    rare: list[Callable[[], object]] = [redis, postgres, servers.redis.client.flushall]
    while not ended.wait(rng.uniform(3.0, 9.0)):
        (rng.choice(rare) if rng.random() < 0.15 else rng.choice(usual))()
        count[0] += 1


def _watch(deployment: Deployment, number: int, ended: threading.Event, samples: list[Sample]) -> None:
    redis = deployment.redis()
    while not ended.wait(SAMPLE_S):
        # A server that is being restarted is measured in the next round.
        with contextlib.suppress(psutil.Error, StoreError, Exception):
            process = deployment.members[number].process
            samples.append(
                Sample(
                    memory_mib=process.memory_info().rss / 2**20,
                    files=process.num_fds(),
                    connections=deployment.servers.postgres.connections(deployment.database_url),
                    redis_keys=redis.dbsize(),
                    redis_mib=redis.info("memory")["used_memory"] / 2**20,
                )
            )
    redis.close()


def _flat(samples: list[Sample]) -> None:
    third = len(samples) // 3
    if third < 4:
        return  # one minute is too short to measure growth
    for each in fields(Sample):
        middle, last = (
            statistics.median(getattr(sample, each.name) for sample in part)
            for part in (samples[third : 2 * third], samples[2 * third :])
        )
        assert last <= middle + getattr(MARGINS, each.name), f"{each.name} grows: {middle} → {last}"

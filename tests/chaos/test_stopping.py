"""Deliberate stops: signals, cancel, pause; also a small job after a big one, and a permanently lost database."""

import signal
import time

import pytest
import sqlalchemy as sa

from gfi.domain.states import JobState
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger.leases import OTHER_RELEASES
from gfi.store.rebuild import rebuild
from gfi.store.tables import shards
from tests.chaos.deployment import Deployment, Member, gfi
from tests.chaos.fake import STUMBLES_AT
from tests.chaos.verify import verify
from tests.chaos.world import World
from tests.speed import slowness

pytestmark = pytest.mark.timeout(180 * slowness())
STEADY = {"step_s": 0.06}
"""A batch of eight takes a quarter of a second, a shard of 64 two."""


@pytest.fixture(scope="module")
def deployment(world: World):
    """One installation with a single worker, for all of these."""
    with Deployment(world.servers, "postgres", shard_seconds=4.0) as deployment:
        deployment.start_all(1, pace=STEADY)
        yield deployment


def _at_work(deployment: Deployment, job: str) -> Member:
    """The worker, after it has finished a batch of this job."""
    deployment.wait(job, 60, until=lambda progress: progress.finished > 0)
    return next(worker for worker in deployment.living("worker") if deployment.leased(worker.name))


def test_sigterm_commits_the_finished_prefix_and_releases_the_rest(
    deployment: Deployment, world: World
) -> None:
    photographs = world.photographs(100)
    job = deployment.submit(photographs)
    deployment.kill(_at_work(deployment, job), signal.SIGTERM)
    deployment.wait(job, 60)
    verify(deployment, job, photographs, world.undisturbed)
    assert not deployment.incidents(job, "death")
    with deployment.database.read() as connection:
        stops = connection.execute(sa.select(shards.c.stop).where(shards.c.job_id == job)).scalars().all()
    assert set(stops) - {64, 100}, "a prefix was committed"


@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGQUIT,)], ids=["twice", "quit"]
)
def test_an_impatient_operator_loses_nothing(
    deployment: Deployment, world: World, signals: tuple[int, ...]
) -> None:
    photographs = world.photographs(100)
    job = deployment.submit(photographs)
    worker = _at_work(deployment, job)
    for number in signals:
        deployment.kill(worker, number)
        time.sleep(0.02)
    deployment.wait(job, 90)
    verify(deployment, job, photographs, world.undisturbed)


def test_cancel_takes_two_seconds_and_a_step_and_retry_finishes_the_job(
    deployment: Deployment, world: World
) -> None:
    photographs = world.photographs(200)
    job = deployment.submit(photographs)
    _at_work(deployment, job)
    ledger.cancel_job(deployment.database, job)
    began = time.monotonic()
    deployment.eventually(lambda: not deployment.progress(job).shards["leased"], 10, "the worker lets go")
    took = time.monotonic() - began
    assert took < 2.0 + STEADY["step_s"] + 1.0, f"{took:.1f} s, one of them this machine's"
    kept = deployment.progress(job).done
    assert 0 < kept < 200
    ledger.retry_job(deployment.database, job)
    deployment.wait(job, 60)
    verify(deployment, job, photographs, world.undisturbed)


def test_pause_holds_through_a_restart_of_everything_and_resume_goes_on(
    deployment: Deployment, world: World
) -> None:
    photographs = world.photographs(100)
    job = deployment.submit(photographs)
    _at_work(deployment, job)
    ledger.pause_job(deployment.database, job)
    deployment.eventually(lambda: not deployment.progress(job).shards["leased"], 10, "the worker lets go")
    done = deployment.progress(job).done
    assert 0 < done < 100
    for role in ("worker", "scheduler", "control"):
        for member in deployment.living(role):
            deployment.kill(member)
    world.servers.redis.kill()
    world.servers.redis.restart(keep=False)
    time.sleep(2.0)
    assert deployment.progress(job).done == done
    ledger.resume_job(deployment.database, job)
    deployment.wait(job, 60)
    verify(deployment, job, photographs, world.undisturbed)


def test_a_small_job_behind_a_big_one_starts_within_a_shards_time(
    deployment: Deployment, world: World
) -> None:
    big = deployment.submit(world.photographs(1000))
    _at_work(deployment, big)
    small = deployment.submit(world.photographs(40))
    deployment.wait(small, 30)
    assert not queries.get_job(deployment.database, big).ended
    assert "waiting" in gfi("doctor", deployment=deployment), "back-pressure can be seen"
    ledger.cancel_job(deployment.database, big)


def test_a_database_lost_for_good_comes_back_from_the_bucket(deployment: Deployment, world: World) -> None:
    photographs = world.photographs(100)
    job = deployment.submit(photographs)
    deployment.wait(job, 60)
    before = list(queries.iterate_results(deployment.database, job))
    deployment.eventually(lambda: deployment.bucket.head(f"jobs/{job}/committed.json"), 30, "committed.json")
    url = world.servers.postgres.create()
    fresh = Database(url)
    try:
        rebuilt = {each.job_id: each for each in rebuild(fresh, deployment.bucket)}
        assert (rebuilt[job].missing, rebuilt[job].lost) == (0, ())
        assert ledger.finish_jobs(fresh), "the scheduler finds nothing left to do"
        assert queries.get_job(fresh, job).state is JobState.SUCCEEDED
        told = ("row", "key", "status", "target", "area", "iterations", "kept", "removed", "probability")
        after = list(queries.iterate_results(fresh, job))
        assert [[getattr(row, name) for name in told] for row in after] == [
            [getattr(row, name) for name in told] for row in before
        ]
    finally:
        fresh.dispose()
        world.servers.postgres.drop(url)


def test_a_shard_that_always_fails_is_given_up_listed_and_can_be_retried(
    deployment: Deployment, world: World
) -> None:
    photographs = world.photographs(40)
    job = deployment.submit(photographs, overrides={"steps_class": STUMBLES_AT})
    deployment.wait(job, 60)
    record = queries.get_job(deployment.database, job)
    assert record.state is JobState.FAILED
    assert (
        len(deployment.incidents(job, "release")) + len(deployment.incidents(job, "failed")) == OTHER_RELEASES
    )
    (failure,) = queries.failures(deployment.database, job)
    assert (failure["status"], failure["error_class"], failure["images"]) == ("failed", "internal", 40)
    assert "RuntimeError" in (record.error or "")
    told = gfi("job", job, deployment=deployment)
    assert "internal" in told.partition("failed by class")[2], told
    assert "is planning again" in gfi("retry", job, "--class", "internal", deployment=deployment)
    ledger.cancel_job(deployment.database, job)

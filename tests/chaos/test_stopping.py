"""Stopping on purpose: signals, cancel, pause, a small job behind a big one, a database that is lost for good."""

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
from tests.chaos.fake import STUMBLES_AT
from tests.chaos.house import House, Resident, gfi
from tests.chaos.scenarios import World
from tests.chaos.verify import verify
from tests.speed import slowness

pytestmark = pytest.mark.timeout(180 * slowness())
STEADY = {"step_s": 0.06}
"""A batch of eight takes a quarter of a second, a shard of 64 two."""


@pytest.fixture(scope="module")
def house(world: World):
    """One installation with a single worker, for all of these."""
    with House(world.servers, "postgres", shard_seconds=4.0) as house:
        house.staff(1, pace=STEADY)
        yield house


def _at_work(house: House, job: str) -> Resident:
    """The worker, once it has finished a batch of this job."""
    house.wait(job, 60, until=lambda progress: progress.finished > 0)
    return next(worker for worker in house.living("worker") if house.leased(worker.name))


def test_sigterm_commits_the_finished_prefix_and_releases_the_rest(house: House, world: World) -> None:
    photographs = world.photographs(100)
    job = house.submit(photographs)
    house.kill(_at_work(house, job), signal.SIGTERM)
    house.wait(job, 60)
    verify(house, job, photographs, world.undisturbed)
    assert not house.incidents(job, "death")
    with house.database.read() as connection:
        stops = connection.execute(sa.select(shards.c.stop).where(shards.c.job_id == job)).scalars().all()
    assert set(stops) - {64, 100}, "a prefix was committed"


@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGQUIT,)], ids=["twice", "quit"]
)
def test_an_impatient_operator_loses_nothing(house: House, world: World, signals: tuple[int, ...]) -> None:
    photographs = world.photographs(100)
    job = house.submit(photographs)
    worker = _at_work(house, job)
    for number in signals:
        house.kill(worker, number)
        time.sleep(0.02)
    house.wait(job, 90)
    verify(house, job, photographs, world.undisturbed)


def test_cancel_takes_two_seconds_and_a_step_and_retry_finishes_the_job(house: House, world: World) -> None:
    photographs = world.photographs(200)
    job = house.submit(photographs)
    _at_work(house, job)
    ledger.cancel_job(house.database, job)
    began = time.monotonic()
    house.eventually(lambda: not house.progress(job).shards["leased"], 10, "the worker lets go")
    took = time.monotonic() - began
    assert took < 2.0 + STEADY["step_s"] + 1.0, f"{took:.1f} s, one of them this machine's"
    kept = house.progress(job).done
    assert 0 < kept < 200
    ledger.retry_job(house.database, job)
    house.wait(job, 60)
    verify(house, job, photographs, world.undisturbed)


def test_pause_holds_through_a_restart_of_everything_and_resume_goes_on(house: House, world: World) -> None:
    photographs = world.photographs(100)
    job = house.submit(photographs)
    _at_work(house, job)
    ledger.pause_job(house.database, job)
    house.eventually(lambda: not house.progress(job).shards["leased"], 10, "the worker lets go")
    done = house.progress(job).done
    assert 0 < done < 100
    for role in ("worker", "scheduler", "control"):
        for resident in house.living(role):
            house.kill(resident)
    world.servers.redis.kill()
    world.servers.redis.restart(keep=False)
    time.sleep(2.0)
    assert house.progress(job).done == done
    ledger.resume_job(house.database, job)
    house.wait(job, 60)
    verify(house, job, photographs, world.undisturbed)


def test_a_small_job_behind_a_big_one_starts_within_a_shards_time(house: House, world: World) -> None:
    big = house.submit(world.photographs(1000))
    _at_work(house, big)
    small = house.submit(world.photographs(40))
    house.wait(small, 30)
    assert not queries.get_job(house.database, big).ended
    assert "waiting" in gfi("doctor", house=house), "back-pressure can be seen"
    ledger.cancel_job(house.database, big)


def test_a_database_lost_for_good_comes_back_from_the_bucket(house: House, world: World) -> None:
    photographs = world.photographs(100)
    job = house.submit(photographs)
    house.wait(job, 60)
    before = list(queries.iterate_results(house.database, job))
    house.eventually(lambda: house.bucket.head(f"jobs/{job}/committed.json"), 30, "committed.json")
    url = world.servers.postgres.create()
    fresh = Database(url)
    try:
        rebuilt = {each.job_id: each for each in rebuild(fresh, house.bucket)}
        assert (rebuilt[job].missing, rebuilt[job].lost) == (0, ())
        assert ledger.finish_jobs(fresh), "the scheduler finds nothing left to do"
        assert queries.get_job(fresh, job).state is JobState.SUCCEEDED
        told = ("row", "key", "status", "target", "area", "iterations", "kept", "removed", "probability")
        after = list(queries.iterate_results(fresh, job))
        assert [[row[name] for name in told] for row in after] == [
            [row[name] for name in told] for row in before
        ]
    finally:
        fresh.dispose()
        world.servers.postgres.drop(url)


def test_a_shard_that_always_fails_is_given_up_listed_and_can_be_retried(house: House, world: World) -> None:
    photographs = world.photographs(40)
    job = house.submit(photographs, overrides={"steps_class": STUMBLES_AT})
    house.wait(job, 60)
    record = queries.get_job(house.database, job)
    assert record.state is JobState.FAILED
    assert len(house.incidents(job, "release")) + len(house.incidents(job, "failed")) == OTHER_RELEASES
    (failure,) = queries.failures(house.database, job)
    assert (failure["status"], failure["error_class"], failure["images"]) == ("failed", "internal", 40)
    assert "RuntimeError" in (record.error or "")
    told = gfi("job", job, house=house)
    assert "internal" in told.partition("failed by class")[2], told
    assert "is planning again" in gfi("retry", job, "--class", "internal", house=house)
    ledger.cancel_job(house.database, job)

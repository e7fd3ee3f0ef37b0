"""Scenarios 1, 2, 7, 9 and 11 to 14: processes that are killed, stopped, slow or have a wrong clock."""

import contextlib
import random
import statistics
import time
from unittest import mock

import sqlalchemy as sa

from gfi.domain.states import ControlKind, JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.domain.tasks import KINDS
from gfi.jobs.delete import delete_job
from gfi.jobs.sweep import sweep_parts
from gfi.store import ledger, queries
from gfi.store.errors import Conflict
from tests.chaos.deployment import Deployment, Member, gfi
from tests.chaos.fake import COUNT, count_kind
from tests.chaos.misbehaviour import AFTER_CARRYING, AFTER_PIECE, AIMS, IN_TASK_COMMIT, PLANNING
from tests.chaos.photographs import make
from tests.chaos.verify import verify, verify_carried
from tests.chaos.world import SLOW, Row, World, lease, row
from tests.speed import slowness


def workers_killed(world: World, seed: int, full: bool) -> Row:
    """1. `kill -9` of workers, aimed at the worst moments and at random."""
    rng = random.Random(seed)
    verdicts, kills, recoveries = [], 0, []
    photographs = world.photographs(1000 if full else 200)
    with Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment:
        deployment.start("scheduler")
        deployment.start("control")
        chances = {"in renewal": 0.03}
        hits = {aim: deployment.directory / f"{aim}.first" for aim in AIMS}
        for aim, first in hits.items():
            chance = chances.get(aim, 0.25) if full else 0.0
            deployment.start("worker", aim=aim, chance=chance, first=str(first), pace={} if full else SLOW)
        job = deployment.submit(photographs)
        # The long version has random kills only in its own deployment; the short version combines both.
        with contextlib.nullcontext() if full else deployment.killing(rng, "worker", every=(1.0, 2.0)):
            deployment.wait(job, 400)
        died = len(deployment.incidents(job, "death"))
        true = [aim for aim, first in hits.items() if first.exists()]
        assert len(true) >= 3, f"only {true}"
        assert died
        kills += died if full else deployment.kills + deployment.own_deaths
        recoveries += [] if full else deployment.recoveries.by_role["worker"]
        verdicts.append(verify(deployment, job, photographs, world.undisturbed))
    if not full:
        return row(1, seed, verdicts, kills, recoveries)
    photographs = world.photographs(5000)
    with Deployment(world.servers, "postgres") as deployment:
        deployment.start_all(3, pace=SLOW)
        while deployment.kills < 100:
            job = deployment.submit(photographs)
            deployment.wait(job, 60, until=lambda progress: progress.done > 0)
            with deployment.killing(rng, "worker", every=(0.5, 2.0)):
                deployment.wait(job, 1200)
            verdicts.append(verify(deployment, job, photographs, world.undisturbed))
        kills += deployment.kills
        recoveries += deployment.recoveries.by_role["worker"]
    return row(1, seed, verdicts, kills, recoveries)


def schedulers_killed(world: World, seed: int, full: bool) -> Row:
    """2. `kill -9` of schedulers, three of them at once, and of the planning worker, during a retry and a pause too; on
    both databases.
    """
    rng = random.Random(seed)
    verdicts, kills = [], 0
    recoveries: dict[str, list[float]] = {"control": [], "scheduler": []}
    photographs = world.photographs(200)
    for kind in ("postgres", "sqlite") if full else ("postgres",):
        with Deployment(world.servers, kind, lease_s=lease(full)) as deployment:
            deployment.start("scheduler", 3)
            first = deployment.directory / "planning.first"
            deployment.start("control", aim=PLANNING, chance=0.3 if full else 0.0, first=str(first))
            deployment.start("worker", 2)
            with deployment.killing(rng, *["scheduler"] * 3, "control", every=(0.3, 1.2)):
                for number in range(15 if full else 2):
                    job = deployment.submit(photographs)
                    if number % 5 == 0:
                        for head in deployment.living("scheduler"):
                            deployment.kill(head)
                    deployment.wait(job, 120)
                    verdicts.append(verify(deployment, job, photographs, world.undisturbed))
                    if number % 5 == 1:
                        _all_again(deployment, job)
                        verdicts.append(verify(deployment, job, photographs, world.undisturbed))
            kills += deployment.kills + deployment.own_deaths
            for role, seconds in recoveries.items():
                seconds += deployment.recoveries.by_role[role]
    assert all(recoveries.values()), recoveries
    detail = "; ".join(
        f"{what} went on after {statistics.median(recoveries[role]):.1f} s, at worst {max(recoveries[role]):.1f} s"
        for what, role in (("planning", "control"), ("ticks", "scheduler"))
    )
    return row(2, seed, verdicts, kills, recoveries["control"], detail)


def _all_again(deployment: Deployment, job: str) -> None:
    """A retry of every image, paused immediately after the request, while all roles are killed."""
    ledger.retry_job(deployment.database, job, list(ImageStatus))
    with contextlib.suppress(Conflict):  # on a slow machine it may have ended again before this line
        ledger.pause_job(deployment.database, job)
        deployment.eventually(
            lambda: queries.get_job(deployment.database, job).state is JobState.RUNNING,
            60,
            "the retry is planned",
        )
        deployment.eventually(lambda: not deployment.progress(job).shards["leased"], 60, "the workers let go")
        before = deployment.progress(job).shards
        time.sleep(1.0)  # only waiting can show that nothing is claimed
        assert deployment.progress(job).shards == before, "a pause holds"
        ledger.resume_job(deployment.database, job)
    deployment.wait(job, 120)
    images = range(queries.get_job(deployment.database, job).total or 0)
    kept = {len(queries.earlier_results(deployment.database, job, row)) for row in images}
    assert kept == {1}, "history keeps what was replaced, once"


def clocks_and_sleepers(world: World, seed: int, full: bool) -> Row:
    """7. A worker's clock five minutes and an hour off; a worker frozen past its lease and resumed."""
    verdicts = []
    photographs = world.photographs(600 if full else 200)
    with Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment:
        deployment.start("scheduler")
        deployment.start("control")
        (late,) = deployment.start("worker", clock_s=300)
        job = deployment.submit(photographs)
        deployment.wait(job, 120)
        verdicts.append(verify(deployment, job, photographs, world.undisturbed))
        assert not deployment.incidents(job, "release"), "five minutes are within what S3 allows"
        deployment.dismiss(late)
        (wrong,) = deployment.start("worker", clock_s=3600)
        job = deployment.submit(photographs)
        deployment.eventually(lambda: deployment.incidents(job, "release"), 60, "an upload that S3 refuses")
        named = f"the clock of worker {wrong.name} is"
        assert named in deployment.eventually(
            lambda: _doctor(deployment, named), 60, "doctor names the clock"
        )
        assert not deployment.progress(job).done
        deployment.start("worker", 2)
        deployment.wait(job, 240)
        verdicts.append(verify(deployment, job, photographs, world.undisturbed))
        deployment.dismiss(wrong)
        for worker in deployment.living("worker"):
            deployment.dismiss(worker)
        deployment.start("worker", 2, pace={"step_s": 0.1})
        kills, recoveries = 0, []
        job = deployment.submit(photographs)
        for _ in range(3 if full else 1):
            deployment.wait(job, 60, until=lambda progress: progress.in_flight > 0)
            sleeper = deployment.eventually(lambda: _busy_worker(deployment), 30, "a busy worker")
            recoveries += _put_to_sleep(deployment, sleeper)
            kills += 1
        deployment.wait(job, 240)
        verdicts.append(verify(deployment, job, photographs, world.undisturbed))
    return row(7, seed, verdicts, kills, recoveries)


def _doctor(deployment: Deployment, named: str) -> str:
    said = gfi("doctor", deployment=deployment)
    return said if named in said else ""


def _busy_worker(deployment: Deployment) -> Member | None:
    return next((worker for worker in deployment.living("worker") if deployment.leased(worker.name)), None)


def _put_to_sleep(deployment: Deployment, sleeper: Member) -> list[float]:
    """SIGSTOP until another worker has its shard, then SIGCONT; returns the seconds until then, if it had a shard."""
    sleeper.process.suspend()
    asleep, held = time.monotonic(), deployment.leased(sleeper.name)
    if held:
        deployment.eventually(lambda: not deployment.leased(sleeper.name), 30, "the sleeper loses its lease")
    took = time.monotonic() - asleep
    sleeper.process.resume()
    if held:
        deployment.eventually(lambda: "lease lost" in deployment.log(sleeper), 30, "the sleeper notices")
    return [took] if held else []


def poison(world: World, seed: int, full: bool) -> Row:
    """9. An image that kills its process, one that hangs the decoder, one that hangs the engine; kills at random."""
    rng = random.Random(seed)
    images = 1000 if full else 120
    faults = dict(
        zip(rng.sample(range(images), 3), ("kills", "hangs the decoder", "hangs the engine"), strict=True)
    )
    photographs = world.photographs(images, faults)
    guilty = frozenset(f"{number:06d}.ppm" for number in faults)
    patience = {} if full else {"lease_s": 1.5 * slowness(), "stall_s": 2.0 * slowness()}
    began = time.monotonic()
    with Deployment(world.servers, "postgres", **patience) as deployment:
        deployment.start_all(3, pace={"step_s": 0.01})
        job = deployment.submit(photographs)
        with deployment.killing(rng, "worker", every=(2.0, 6.0) if full else (30.0, 60.0)):
            deployment.wait(job, 300)
        took = time.monotonic() - began
        verdict = verify(deployment, job, photographs, world.undisturbed, errors=guilty)
        assert took < 300 * slowness(), f"{took:.0f} s"
        assert all("killed its worker" in error for error in verdict.errors.values())
        stalls = sum(deployment.log(worker).count("worker stalled") for worker in deployment.members)
        assert stalls >= 2, "the stalled workers ended by themselves and said so"
        return row(
            9,
            seed,
            [verdict],
            deployment.kills + deployment.own_deaths,
            deployment.recoveries.by_role["worker"],
        )


def killed_all_the_time(world: World, seed: int, full: bool) -> Row:
    """11. Workers killed at ten times the rate of scenario 1, on a machine a quarter as fast. No worker finishes a
    shard, only single images, and every image is explained in the end.
    """
    rng = random.Random(seed)
    photographs = world.photographs(100 if full else 8)
    with Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment:
        deployment.start_all(5, pace={"step_s": 4 * SLOW["step_s"]})
        job = deployment.submit(photographs)
        every = (0.05, 0.2) if full else (0.1, 0.2)
        with deployment.killing(rng, "worker", every=every):
            deployment.wait(job, 3600 if full else 300)
        verdict = verify(deployment, job, photographs, world.undisturbed)
        return row(11, seed, [verdict], deployment.kills, deployment.recoveries.by_role["worker"])


def everything_slow(world: World, seed: int, full: bool) -> Row:
    """12. Everything slow and nothing down: ticks of six seconds, a slow connection to the database, slow workers that
    die over their shards.
    """
    proxy, lease_s = world.servers.postgres_proxy, 4.0 * slowness()
    photographs = world.photographs(400 if full else 32)
    with Deployment(world.servers, "postgres", proxied="postgres", lease_s=lease_s) as deployment:
        proxy.delay_s = 0.05 if full else 0.02
        try:
            deployment.start("scheduler", tick_s=6.0)
            deployment.start("control")
            deployment.start("worker", 2, pace={"step_s": 0.1})
            job = deployment.submit(photographs)
            deaths = 3 if full else 1
            for _ in range(deaths):
                deployment.kill(
                    deployment.eventually(lambda: _busy_worker(deployment), 120, "a worker has a shard")
                )
            deployment.wait(job, 600)
        finally:
            proxy.delay_s = 0.0
        verdict = verify(deployment, job, photographs, world.undisturbed)
        recoveries = deployment.recoveries.by_role["worker"]
        assert len(recoveries) == deaths, "every dead worker's shard went to another"
        return row(12, seed, [verdict], deployment.kills, recoveries)


def tasks_killed(world: World, seed: int, full: bool) -> Row:
    """13. Tasks that need a network, of two kinds, beside a job: their workers are killed, at random and at the worst
    moments. Every task ends, and each piece of a result is written exactly once.
    """
    rng = random.Random(seed)
    photographs = world.photographs(200 if full else 32)
    with (
        mock.patch.dict(KINDS, {COUNT: count_kind()}),
        Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment,
    ):
        with deployment.database.begin() as connection:
            connection.execute(sa.text("CREATE TABLE counted (task TEXT, number INTEGER)"))
        deployment.start("scheduler")
        deployment.start("control")
        hits = {aim: deployment.directory / f"{aim}.first" for aim in (AFTER_PIECE, IN_TASK_COMMIT)}
        for aim, first in hits.items():
            deployment.start("worker", tasks=True, aim=aim, chance=0.05, first=str(first), pace=SLOW)
        job = deployment.submit(photographs)
        pieces, numbers = (50, 20) if full else (8, 3)
        requested = [
            ledger.request_task(deployment.database, kind, payload, owner=f"owner-{number % 2}")[0]
            for number in range(numbers)
            for kind, payload in (
                (COUNT, {"to": pieces, "number": number}),
                (ControlKind.REGISTER, {"reference": f"net-{number}"}),
            )
        ]

        def found() -> list[queries.Task]:
            return [queries.get_task(deployment.database, task) for task in requested]

        with deployment.killing(rng, "worker", every=(1.0, 2.0)):
            deployment.wait(job, 400)
            deployment.eventually(lambda: all(task.ended for task in found()), 400, "every task ends")
        assert {task.state for task in found()} == {ShardState.DONE}, found()
        assert all(first.exists() for first in hits.values())
        with deployment.database.read() as connection:
            query = sa.text("SELECT task, number FROM counted ORDER BY task, number")
            counted = [tuple(line) for line in connection.execute(query)]
        counts = sorted(task.id for task in found() if task.kind == COUNT)
        assert counted == [(task, number) for task in counts for number in range(pieces)]
        assert {f"net-{number}" for number in range(numbers)} <= {
            model.reference for model in queries.list_models(deployment.database)
        }
        verdict = verify(deployment, job, photographs, world.undisturbed)
        kills = deployment.kills + deployment.own_deaths
        return row(
            13, seed, [verdict], kills, deployment.recoveries.by_role["worker"], f"{len(requested)} tasks"
        )


def planners_of_incremental_jobs(world: World, seed: int, full: bool) -> Row:
    """14. `kill -9` of the planners of incremental jobs, between two pieces of carried results and at random, while the
    sweep runs; then the earlier job is deleted. Nothing is carried twice, nothing is lost, and every mask stays.
    """
    rng = random.Random(seed)
    count, new = (400, 20) if full else (40, 4)
    photographs = make(world.servers.directory / f"incremental-{count}", count)
    aside = [photographs.folder / key for key in photographs.keys()[-new:]]
    with Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment:
        database, bucket = deployment.database, deployment.bucket
        deployment.start("scheduler")
        first = deployment.directory / "carrying.first"
        deployment.start("control", aim=AFTER_CARRYING, chance=0.3, first=str(first))
        deployment.start("worker", 2)
        for path in aside:
            path.rename(photographs.folder.with_name(path.name))
        earlier = deployment.submit(photographs)
        deployment.wait(earlier, 200)
        for path in aside:
            photographs.folder.with_name(path.name).rename(path)
        carried = []
        with deployment.killing(rng, "control", every=(1.0, 3.0)):
            for _ in range(5 if full else 1):
                job = deployment.submit(photographs, since=earlier)
                deployment.wait(job, 300, until=lambda progress: progress.state is not JobState.QUEUED)
                sweep_parts(database, bucket, safe_age_s=0.0, dry_run=False)
                deployment.wait(job, 300)
                carried.append(job)
        assert first.exists(), "no planner died between two pieces"
        for job in carried:
            record = queries.get_job(database, job)
            assert record.state is JobState.SUCCEEDED, record.error
            assert (record.total, record.carried, record.removed) == (count, count - new, 0)
        delete_job(database, bucket, earlier, actor="chaos")
        sweep_parts(database, bucket, safe_age_s=0.0, dry_run=False)
        verdicts = [verify_carried(deployment, job, photographs, world.undisturbed) for job in carried]
        kills = deployment.kills + deployment.own_deaths
        recoveries = deployment.recoveries.by_role["control"]
        return row(14, seed, verdicts, kills, recoveries, f"{count - new} of {count} images carried")

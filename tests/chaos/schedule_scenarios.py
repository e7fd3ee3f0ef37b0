"""Scenarios 15 and 16: schedulers that die while a schedule fires every second, and retention beside planners."""

import contextlib
import random
import threading
import time
from itertools import pairwise

import sqlalchemy as sa

from gfi.domain.states import JobState
from gfi.jobs import schedules
from gfi.jobs.delete import delete_job
from gfi.jobs.retention import delete_old_jobs
from gfi.jobs.submit import JobRequest
from gfi.jobs.sweep import sweep_parts
from gfi.jobs.timing import name_of
from gfi.store import queries
from gfi.store.database import now
from gfi.store.errors import Conflict, NotFound, Transient
from gfi.store.tables import firings, jobs
from gfi.store.tables import schedules as schedules_table
from tests.chaos.deployment import MODEL, Deployment
from tests.chaos.photographs import Photographs, make
from tests.chaos.verify import verify_carried
from tests.chaos.world import Row, World, lease, row


def _request(photographs: Photographs) -> JobRequest:
    options = {"preset": "paper", "target": "predicted", "save": (), "batch": 8, "owner": "ada"}
    return JobRequest(dataset=str(photographs.folder), model=MODEL, **options)


def schedulers_killed_while_firing(world: World, seed: int, full: bool) -> Row:
    """15. `kill -9` of three schedulers while a schedule fires every second: one job a firing, none is left out."""
    rng = random.Random(seed)
    seconds = 120.0 if full else 12.0
    photographs = world.photographs(200)
    kills, fired = 0, 0
    recoveries: list[float] = []
    for kind in ("postgres", "sqlite") if full else ("postgres",):
        with Deployment(world.servers, kind, lease_s=lease(full)) as deployment:
            database = deployment.database
            request = _request(photographs)
            # Each firing cancels the job of the one before, so that each has a job; nothing is planned here.
            made = schedules.add_schedule(
                *(database, deployment.settings_here, "often", None, "UTC", request),
                **{"every": "10s", "actor": "chaos", "overlap": "cancel"},
                **{"misfire": "all", "misfire_most": 1000, "whole": True},
            )
            with database.begin() as connection:
                start = connection.execute(sa.select(now())).scalar_one()
                often = {"every_s": 1.0, "created_at": start, "next_due": start + 1.0}
                connection.execute(sa.update(schedules_table).values(often))
            deployment.start("scheduler", 3)
            with deployment.killing(rng, *["scheduler"] * 3, every=(0.3, 1.5)):
                time.sleep(seconds)
            _wait_until_fired(deployment, made.id, name_of(start + seconds))
            schedules.change_schedule(database, deployment.settings_here, "often", actor="chaos", paused=True)
            with database.read() as connection:
                mine = sa.select(firings.c.firing_key, firings.c.job_id).order_by(firings.c.firing_key)
                rows = connection.execute(mine).all()
                number = connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one()
            made_jobs = {job for _, job in rows}
            assert None not in made_jobs
            assert len(made_jobs) == len(rows) == number, f"{number} jobs for {len(rows)} firings"
            instants = [name_of(start + 1.0 + at) for at in range(len(rows))]
            assert [key for key, _ in rows] == instants, "a firing was left out"
            fired += len(rows)
            kills += deployment.kills
            recoveries += deployment.recoveries.by_role["scheduler"]
    return row(15, seed, [], kills, recoveries, f"{fired} firings, one job each")


def _wait_until_fired(deployment: Deployment, schedule: str, key: str) -> None:
    ended = time.monotonic() + 60.0
    last = sa.select(sa.func.max(firings.c.firing_key)).where(firings.c.schedule_id == schedule)
    while time.monotonic() < ended:
        with deployment.database.read() as connection:
            if (connection.execute(last).scalar() or "") >= key:
                return
        time.sleep(0.2)
    raise AssertionError("the schedule did not fire")


def retention_beside_planners(world: World, seed: int, full: bool) -> Row:
    """16. Two sweepers and a person delete old jobs while incremental jobs carry from them and planners are killed:
    no kept mask loses its part, and nothing is carried twice.
    """
    rng = random.Random(seed)
    count, nights = (400, 8) if full else (24, 3)
    photographs = make(world.servers.directory / f"retention-{count}", count)
    with Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment:
        database, bucket = deployment.database, deployment.bucket
        request = _request(photographs)
        made = schedules.add_schedule(
            *(database, deployment.settings_here, "nightly", None, "UTC", request),
            **{"every": "366d", "actor": "chaos", "keep": {"runs": 1}},
        )
        deployment.start("scheduler")
        deployment.start("control")
        deployment.start("worker", 2)
        ended = threading.Event()

        failures: list[Exception] = []

        def sweep() -> None:
            while not ended.is_set():
                try:
                    delete_old_jobs(database, bucket, actor="gc")
                    sweep_parts(database, bucket, safe_age_s=0.0, dry_run=False)
                except Transient:
                    continue
                except Exception as error:
                    failures.append(error)
                    return
                ended.wait(0.2)

        sweepers = [threading.Thread(target=sweep) for _ in range(2)]
        run = [_night(deployment, made.id)]
        for thread in sweepers:
            thread.start()
        try:
            with deployment.killing(rng, "control", every=(1.0, 3.0)):
                for night in range(nights):
                    # Every other night a person deletes the job from which results are being carried.
                    run.append(_night(deployment, made.id, run[-1] if night % 2 else None))
        finally:
            ended.set()
            for thread in sweepers:
                thread.join()
        assert not failures, failures
        delete_old_jobs(database, bucket, actor="gc")
        left = {job.id for job in queries.list_jobs(database)}
        assert left == {run[-1]}, f"{len(left)} jobs are left of {len(run)}"
        verdict = verify_carried(deployment, run[-1], photographs, world.undisturbed)
        kills = deployment.kills + deployment.own_deaths
        recoveries = deployment.recoveries.by_role["control"]
        assert all(a < b for a, b in pairwise(run))
        return row(16, seed, [verdict], kills, recoveries, f"{len(run) - 1} old jobs deleted")


def _night(deployment: Deployment, schedule: str, doomed: str | None = None) -> str:
    """One firing of the schedule, and the end of its job. doomed: a job that a person deletes meanwhile."""
    while True:
        fired = schedules.run_now(deployment.database, deployment.settings_here, schedule, actor="chaos")
        if fired["job"] is not None:
            break
        time.sleep(0.2)
    job = str(fired["job"])
    if doomed is not None:
        with contextlib.suppress(NotFound, Conflict):  # a sweeper was first
            delete_job(deployment.database, deployment.bucket, doomed, actor="ada")
    deployment.wait(job, 300)
    record = queries.get_job(deployment.database, job)
    if doomed is not None and "was deleted" in (record.error or ""):  # before its planner had read it
        return _night(deployment, schedule)
    assert record.state is JobState.SUCCEEDED, record.error
    return job

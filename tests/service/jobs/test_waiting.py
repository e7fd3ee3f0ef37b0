"""A job says why it waits: a planner that died, a failed attempt, no worker."""

import pytest
import sqlalchemy as sa

from gfi.cli.examine import jobs_line
from gfi.domain.states import ControlKind
from gfi.jobs.waiting import (
    NO_CONTROL_WORKER,
    NO_WORKER,
    no_worker_of,
    no_worker_on,
    waiting_jobs,
    why_waiting,
)
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.tables import control_tasks, jobs
from tests.service.store.ledger_actors import OVER, claim, claim_task, die, plan, plan_claimed, submit


def why(database: Database, job: str) -> str | None:
    return why_waiting(database, queries.get_job(database, job))


def start(database: Database, name: str, queue: str) -> None:
    """A worker of this queue reports."""
    facts = {"tasks": [ControlKind.PLAN.value]}
    ledger.heartbeat(database, {"id": name, "queues": [queue], "state": "up", "facts": facts})


def test_a_job_whose_control_worker_died_says_so_until_it_is_planned(database: Database) -> None:
    job = submit(database)
    assert why(database, job) == NO_CONTROL_WORKER
    start(database, "host:7", "control")
    assert why(database, job) is None
    task = claim_task(database, ControlKind.PLAN, lease_s=OVER)
    assert ledger.expire_control(database) == [task.task_id]
    said = "list a dataset: worker planner stopped renewing its lease; it is tried again"
    assert why(database, job) == said
    assert waiting_jobs(database) == {job: said}
    with database.begin() as connection:
        connection.execute(sa.update(control_tasks).values(not_before=0.0))
    again = claim_task(database, ControlKind.PLAN)
    assert why(database, job) == said  # it may die again
    assert plan_claimed(database, again)
    assert why(database, job) != said


def test_a_job_whose_workers_are_gone_says_so(database: Database) -> None:
    job = plan(database)
    assert why(database, job) == NO_WORKER
    start(database, "host:8", "explain")
    assert why(database, job) is None
    with database.begin() as connection:
        connection.execute(sa.update(jobs).values(device_kind="cuda:NVIDIA H100"))
    assert why(database, job) == no_worker_on("cuda:NVIDIA H100")
    with database.begin() as connection:
        connection.execute(sa.update(jobs).values(device_kind=None, queue="gpu"))
    assert why(database, job) == no_worker_of("gpu")
    with database.begin() as connection:
        connection.execute(sa.update(jobs).values(queue="explain"))
    die(database, claim(database))
    assert why(database, job) == "worker worker stopped renewing its lease; its images are tried again"
    ledger.release_shard(
        database, claim(database), "the bucket is full", failure_class="store", transient=True
    )
    assert why(database, job) == "4 images: the bucket is full"
    ledger.pause_job(database, job)
    assert waiting_jobs(database) == {}


def test_doctor_names_the_first_jobs_that_wait() -> None:
    assert jobs_line({}) == "no job waits after a failure or for a worker"
    with pytest.raises(RuntimeError, match="j0 waits: w; j1 waits: w; j2 waits: w; and 2 more"):
        jobs_line({f"j{n}": "w" for n in range(5)})

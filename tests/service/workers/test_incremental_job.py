"""Incremental jobs with a network: what is carried over equals explaining again, bit by bit, and outlives its job."""

import os
import threading
from typing import Any

from PIL import Image

from gfi.domain.states import ControlKind, JobState
from gfi.jobs import sweep
from gfi.jobs.delete import delete_job
from gfi.store import ledger, queries
from gfi.store.part_cache import PartCache
from scheduler import tasks
from scheduler.services import ControlServices
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from workers.services import WorkerServices


def finished(services: WorkerServices, **request: object) -> str:
    """A job over the photographs that has ended, with its report."""
    job = submit(services, batch=2, **request)
    while queries.job_progress(services.database, job).shards["pending"]:
        assert explain(services) == "done"
    assert [one.state for one in ledger.finish_jobs(services.database)] == [JobState.SUCCEEDED]
    planner = ControlServices(services.settings, services.database, services.bucket)
    task = ledger.claim_control(services.database, "planner", 60)
    assert task is not None
    assert task.kind is ControlKind.REPORT
    assert tasks.perform(planner, task, threading.Event()) == "written"
    return job


def change(services: WorkerServices) -> None:
    """One photograph is changed, one is new, one is gone."""
    folder = services.settings.dataset_roots[0] / "photographs"
    first, second, *_ = sorted(folder.iterdir())
    Image.open(first).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "new.png")
    Image.open(second).rotate(180).save(second)
    os.utime(second, ns=(10**18, 10**18))
    first.unlink()


def bits(services: WorkerServices, job: str) -> dict[str, Any]:
    """Everything that is known of each image, by its key."""
    cache = PartCache(services.database, services.bucket)
    found = {}
    for result in queries.iterate_results(services.database, job):
        explained = cache.explanation(result)
        assert explained is not None
        grid = explained.result.grid
        assert grid is not None
        numbers = (result.probability, result.kept, result.removed, result.area, result.iterations)
        found[result.key] = (result.status, result.target, result.prediction, numbers, grid.tobytes())
    return found


def test_carried_results_equal_explaining_again_bit_by_bit(services: WorkerServices) -> None:
    first = finished(services)
    change(services)
    second = finished(services, since=first)
    job = queries.get_job(services.database, second)
    assert (job.explained, job.carried, job.removed) == (2, PHOTOGRAPHS - 2, 1)
    assert job.profile == queries.get_job(services.database, first).profile
    origins = {result.from_job for result in queries.iterate_results(services.database, second)}
    assert origins == {None, first}
    carried = queries.Filters(carried=True)
    assert len(queries.list_results(services.database, second, filters=carried)) == PHOTOGRAPHS - 2
    assert sum(queries.job_sums(services.database, second).statuses().values()) == PHOTOGRAPHS
    again = finished(services)
    assert bits(services, second) == bits(services, again)
    # A third job refers to the parts that a worker wrote, not to the second job.
    third = finished(services, since=second)
    assert queries.get_job(services.database, third).carried == PHOTOGRAPHS
    assert {result.from_job for result in queries.iterate_results(services.database, third)} == {
        first,
        second,
    }


def test_what_is_verified_is_explained_again_and_compared(services: WorkerServices) -> None:
    first = finished(services)
    second = finished(services, since=first, verify="50%")
    job = queries.get_job(services.database, second)
    assert (job.explained, job.carried) == (4, 3)
    assert job.metadata is not None
    assert job.metadata["verified"] == {"images": 4, "differing": 0, "example": None}


def test_parts_outlive_their_job_while_results_refer_to_them(services: WorkerServices) -> None:
    first = finished(services)
    second = finished(services, since=first)
    before = bits(services, second)
    delete_job(services.database, services.bucket, first, actor="test")
    swept = sweep.sweep_parts(services.database, services.bucket, safe_age_s=-60, dry_run=False)
    assert swept.counts == {"kept": 1}
    assert bits(services, second) == before
    third = finished(services, since=second)
    delete_job(services.database, services.bucket, second, actor="test")
    assert bits(services, third) == before
    delete_job(services.database, services.bucket, third, actor="test")
    swept = sweep.sweep_parts(services.database, services.bucket, safe_age_s=-60, dry_run=False)
    assert swept.counts == {"orphan": 1}


def test_where_a_batch_did_not_fit_everything_is_explained(services: WorkerServices) -> None:
    first = finished(services)
    profile = queries.get_job(services.database, first).profile
    assert profile is not None
    ledger.replace_profile(services.database, first, profile, {**profile, "batch": 1})
    second = finished(services, since=first)
    job = queries.get_job(services.database, second)
    assert (job.explained, job.carried) == (PHOTOGRAPHS, 0)
    assert job.metadata is not None
    assert "memory ran out" in job.metadata["warnings"][-1]

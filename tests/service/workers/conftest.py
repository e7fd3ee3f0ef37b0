"""A worker in this process, on SQLite and a real S3 server, with a small network and a few photographs."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gfi import samples
from gfi.cli.register_model import register
from gfi.cli.servers import Server
from gfi.jobs.submit import request_from
from gfi.jobs.submit import submit as submit_job
from gfi.store import ledger
from scheduler import tasks
from scheduler.services import ControlServices
from tests.servers import Sqlite
from tests.service.store.test_objects import settings_for
from workers.services import WorkerServices
from workers.shard import explain_shard

NET = """
from tests.unit.method.networks import Small

def build():
    return Small()
"""
MODEL = """
architecture = "file:net.py:build"
weights = "seed:0"
[input]
size = 32
"""
PHOTOGRAPHS = 7


@pytest.fixture
def services(s3: Server, sqlite_files: Sqlite, tmp_path: Path) -> Iterator[WorkerServices]:
    """A worker in this process, with a folder of photographs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for file in sorted(samples.path().glob("*.jpg"))[:PHOTOGRAPHS]:
        shutil.copy(file, folder)
    models = tmp_path / "models"
    models.mkdir()
    (models / "net.py").write_text(NET)
    (models / "small.toml").write_text(MODEL)
    url = sqlite_files.create()
    settings = settings_for(
        s3.url,
        s3_bucket="worker-tests",
        database_url=url,
        redis_url="redis://127.0.0.1:1",
        home=tmp_path / "home",
        models_dir=models,
        dataset_roots=(tmp_path,),
    )
    services = WorkerServices(settings, threads=1)
    services.bucket.ensure()
    register(services.database, settings, "small")
    yield services
    services.bucket.delete_many([entry.key for entry in services.bucket.list("")])
    services.database.dispose()
    sqlite_files.drop(url)


def submit(services: WorkerServices, **request: object) -> str:
    """A planned job over the photographs."""
    folder = services.settings.dataset_roots[0] / "photographs"
    wanted: dict[str, Any] = {
        "dataset": str(folder),
        "model": "small",
        "target": "predicted",
        "preset": "tuned",
        "overrides": {"steps_class": 16},
    }
    asked = request_from(**wanted | request)
    job = submit_job(services.database, services.settings, asked, new=True).job_id
    planner = ControlServices(services.settings, services.database, services.bucket)
    while (claim := ledger.claim_control(services.database, "planner", 60)) is not None:
        outcome = tasks.perform(planner, claim, threading.Event())
        if claim.job_id == job:
            assert "images in shards" in outcome
            return job
    raise AssertionError(f"job {job} was not planned")


def explain(services: WorkerServices) -> str:
    """Explain the next shard; returns the outcome."""
    claim = ledger.claim_shard(services.database, "worker", "explain", 60)
    assert claim is not None
    return explain_shard(services, claim)

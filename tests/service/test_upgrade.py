"""A data directory of version 0.1.0: it is upgraded, every mask is read, and its running job is finished.

The fixture was written by the code of that version (tests/fixtures/version_0_1_0/README.md).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from gfi.cli.servers import Server
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.domain.result import Result
from gfi.domain.states import JobState
from gfi.store import ledger, queries
from gfi.store.database import Database, upgrade
from gfi.store.errors import StoreError
from gfi.store.ledger.sums import sums_of
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.tables import control_tasks, jobs, shards
from tests.service.store.test_objects import settings_for
from workers.services import WorkerServices
from workers.shard import explain_shard

FIXTURE = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
ROLES = sorted(EXPECTED["jobs"])
CLAIM_OF_0_1 = (
    "UPDATE {} SET state = 'leased', fence = fence + 1, worker = 'old:1', lease_until = 4e9 WHERE id = '{}'"
)
"""What version 0.1.0 writes when it claims; `make upgrade` runs its code."""
HELD = f"{EXPECTED['jobs']['running']['id']}-10"


@pytest.fixture(scope="module")
def upgraded(s3: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerServices]:
    """The directory, copied and upgraded, with its bucket on a real S3 server and its photographs at a new place."""
    folder = tmp_path_factory.mktemp("version_0_1_0")
    for name in ("photographs", "models"):
        shutil.copytree(FIXTURE / name, folder / name)
    for photograph in (folder / "photographs").rglob("*"):
        os.utime(photograph, (EXPECTED["photographs_mtime"],) * 2)  # half of a photograph's version
    shutil.copy(FIXTURE / "gfi.db", folder / "gfi.db")
    url = f"sqlite:///{folder / 'gfi.db'}"
    database = Database(url)
    with (
        database.begin() as connection
    ):  # a worker of that version holds a shard while the tables are upgraded
        connection.exec_driver_sql(CLAIM_OF_0_1.format("shards", HELD))
    upgrade(database)
    moved = {"old": EXPECTED["photographs"], "new": str(folder / "photographs")}
    with database.begin() as connection:
        for row in connection.execute(sa.select(jobs.c.id, jobs.c.config)).all():
            config = json.loads(json.dumps(row.config).replace(moved["old"], moved["new"]))
            connection.execute(sa.update(jobs).where(jobs.c.id == row.id).values(config=config))
        connection.execute(sa.update(shards).values(published_at=None))
    database.dispose()
    settings = settings_for(
        s3.url,
        s3_bucket="version-0-1-0",
        database_url=url,
        redis_url="redis://127.0.0.1:1",
        models_dir=folder / "models",
        dataset_roots=(folder,),
    )
    bucket = Bucket.from_settings(settings)
    bucket.ensure()
    for file in sorted(path for path in (FIXTURE / "bucket").rglob("*") if path.is_file()):
        bucket.put(file.relative_to(FIXTURE / "bucket").as_posix(), file.read_bytes())
    services = WorkerServices(settings, threads=1)
    yield services
    services.database.dispose()


@pytest.mark.parametrize("role", ROLES)
def test_every_job_reads_back_as_it_was_written(upgraded: WorkerServices, role: str) -> None:
    expected = EXPECTED["jobs"][role]
    job = queries.get_job(upgraded.database, expected["id"])
    progress = queries.job_progress(upgraded.database, job.id)
    for name in ("state", "name", "owner", "error", "total", "generation", "config_digest", "manifest_key"):
        assert getattr(job, name) == expected[name], name
    assert progress.done == expected["done"]
    assert {k: n for k, n in progress.by_status.items() if n} == {
        k: n for k, n in expected["by_status"].items() if n
    }
    results = {
        (found.row, found.method, found.target_rank): found
        for found in queries.iterate_results(upgraded.database, job.id)
    }
    assert set(results) == {(row["row"], row["method"], row["target_rank"]) for row in expected["results"]}
    part_cache = PartCache(upgraded.database, upgraded.bucket)
    for row in expected["results"]:
        check_result(results[row["row"], row["method"], row["target_rank"]], row, part_cache)


def check_result(found: Result, expected: dict[str, Any], part_cache: PartCache) -> None:
    """The columns, the metrics and the mask of one result."""
    derived = {"metrics", "grid_shape", "grid_sha256", "mask_shape"}
    assert {name: getattr(found, name) for name in expected if name not in derived} == {
        name: value for name, value in expected.items() if name not in derived
    }
    assert found.metrics == expected["metrics"]
    explained = part_cache.explanation(found)
    if expected["grid_sha256"] is None:
        assert explained is None or explained.mask is None
        return
    assert explained is not None
    stored, mask = explained.result, explained.mask
    assert stored.grid is not None
    assert mask is not None
    assert list(stored.grid.shape) == expected["grid_shape"]
    assert (
        hashlib.sha256(np.ascontiguousarray(stored.grid, "<f4").tobytes()).hexdigest()
        == expected["grid_sha256"]
    )
    assert list(mask.shape) == expected["mask_shape"]


def test_recorded_recipes_still_mean_what_they_meant(upgraded: WorkerServices) -> None:
    for role in ROLES:
        config = queries.get_job(upgraded.database, EXPECTED["jobs"][role]["id"]).stored_config
        recorded = Recipe.from_json(config["recipe"])
        assert recorded.name == config["preset"]
        changed = {k: v for k, v in recorded.to_json().items() if v != recipe(recorded.name).to_json()[k]}
        assert recipe(recorded.name, **changed) == recorded


def test_its_results_are_summed(upgraded: WorkerServices) -> None:
    for role in ROLES:
        job = EXPECTED["jobs"][role]["id"]
        rows = queries.iterate_results(upgraded.database, job, filters=queries.Filters(method=None))
        assert queries.job_sums(upgraded.database, job, cells=True) == sums_of(rows)


def test_its_token_and_its_schedule_are_still_good(upgraded: WorkerServices) -> None:
    token = ledger.verify_token(upgraded.database, EXPECTED["token"]["token"])
    assert token is not None
    assert "submit" in token.scopes
    (schedule,) = queries.list_schedules(upgraded.database)
    assert (schedule["id"], schedule["name"]) == (EXPECTED["schedule"], "leap")


def test_its_workers_hold_and_claim_nothing_any_more(upgraded: WorkerServices) -> None:
    # They would leave out what commits and tasks of this version write, such as the sums of results.
    with upgraded.database.read() as connection:
        assert connection.execute(sa.select(shards.c.state).where(shards.c.id == HELD)).scalar() == "pending"
        task = connection.execute(sa.select(sa.func.max(control_tasks.c.id))).scalar()
    for table, id_ in (("shards", HELD), ("control_tasks", task)):
        with (
            pytest.raises(StoreError, match="claimed_by_gfi_0_2_or_later"),
            upgraded.database.begin() as connection,
        ):
            connection.exec_driver_sql(CLAIM_OF_0_1.format(table, id_))


def test_its_running_job_is_finished_without_explaining_anything_twice(upgraded: WorkerServices) -> None:
    expected = EXPECTED["jobs"]["running"]
    before = {row["row"]: row["part_id"] for row in expected["results"]}
    while (claim := ledger.claim_shard(upgraded.database, "worker", "explain", 60.0)) is not None:
        assert claim.job_id == expected["id"]
        assert explain_shard(upgraded, claim).startswith(("done", "prefix"))
    ledger.finish_jobs(upgraded.database)
    assert queries.get_job(upgraded.database, expected["id"]).state is JobState.SUCCEEDED
    rows = {result.row: result for result in queries.iterate_results(upgraded.database, expected["id"])}
    assert len(rows) == expected["total"]
    assert {row: rows[row].part_id for row in before} == before
    # The same configuration over the same photographs: equal on the same machine, nearly equal on others.
    part_cache = PartCache(upgraded.database, upgraded.bucket)
    for row in EXPECTED["jobs"]["finished"]["results"]:
        assert rows[row["row"]].status == row["status"]
        assert rows[row["row"]].target == row["target"]
        explained = part_cache.explanation(rows[row["row"]])
        assert explained is not None
        assert explained.mask is not None

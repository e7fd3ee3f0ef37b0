"""Incremental jobs: what is planned, planners that die between the pieces, jobs that are deleted meanwhile."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never, cast

import numpy as np
import pytest
import sqlalchemy as sa

from gfi.cli.servers import Server
from gfi.datasets.manifest import Manifest
from gfi.domain.ids import new_id
from gfi.domain.records import ControlClaim, PartRecord
from gfi.domain.result import Result
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs import incremental
from gfi.jobs.submit import Invalid, JobRequest, spec_of, submit
from gfi.store import ledger, parts, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError, Transient
from gfi.store.objects import Bucket
from gfi.store.parts import PartHeader
from gfi.store.rebuild import rebuild
from gfi.store.tables import metadata, part_references, results, shards
from scheduler import planning
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.service.model_record import RECORD
from tests.service.scheduler.test_planning import photographs, small_cpu_and_card
from tests.service.store.ledger_actors import claim_task, part
from tests.service.store.test_objects import settings_for

PROFILE = {"device_kind": "cpu", "batch": 4}


@pytest.fixture
def services(database: Database, s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlServices]:
    monkeypatch.setattr(planning, "PIECE", 3)
    settings = settings_for(s3.url, s3_bucket="incremental-tests")
    bucket = Bucket.from_settings(settings)
    bucket.ensure()
    ledger.save_model(database, "net", RECORD["digest"], RECORD, actor="test")
    yield ControlServices(settings, database, bucket)
    bucket.delete_many([found.key for found in bucket.list("")])


def asked(services: ControlServices, folder: Path, **request: object) -> str:
    """A submitted job over the photographs of a folder."""
    options = {"dataset": str(folder), "model": "net", "target": "predicted", **request}
    return submit(services.database, services.settings, JobRequest(**options), new=True).job_id


def planned(services: ControlServices, job: str) -> ControlClaim:
    task = claim_task(services.database, ControlKind.PLAN)
    assert task.job_id == job
    perform(services, task, threading.Event())
    return task


def explained(services: ControlServices, job: str, failed: str = "") -> str:
    """Explain all of a job; the image of key `failed` is an error."""
    database = services.database
    while (found := ledger.claim_shard(database, "worker", "explain", 60.0)) is not None:
        keys = key_by_row(services, job)
        rows = [
            Result(
                row=row,
                key=keys[row],
                status=ImageStatus.ERROR if keys[row] == failed else ImageStatus.OK,
                probability=0.1 + int(keys[row][:5]) / 100,
                target=int(keys[row][:5]) % 2,
            )
            for row in range(found.start, found.stop)
        ]
        ledger.freeze_profile(database, job, PROFILE, "cpu")
        assert ledger.commit_shard(database, found, found.stop, part(found, len(rows)), rows)
    assert [one.job_id for one in ledger.finish_jobs(database)] == [job]
    return job


def key_by_row(services: ControlServices, job: str) -> dict[int, str]:
    key = queries.get_job(services.database, job).manifest_key
    assert key is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "manifest.parquet"
        services.bucket.get_to(key, file)
        return {entry.row: entry.key for entry in Manifest.open(file)}


def whole(services: ControlServices, folder: Path, failed: str = "") -> str:
    """A job over the folder that has ended."""
    job = asked(services, folder)
    planned(services, job)
    return explained(services, job, failed)


def values(database: Database, job: str) -> dict[str, tuple[object, ...]]:
    """What is recorded of each image, by key: no key twice."""
    query = sa.select(results.c.key, results.c.probability, results.c.target, results.c.status)
    with database.read() as connection:
        rows = connection.execute(query.where(results.c.job_id == job)).all()
    assert len({row.key for row in rows}) == len(rows)
    return {row.key: tuple(row)[1:] for row in rows}


def test_a_planner_that_dies_between_two_pieces_carries_nothing_twice_and_loses_nothing(
    services: ControlServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, folder = services.database, photographs(tmp_path / "photographs", range(10))
    first = whole(services, folder)
    photographs(folder, range(10, 12))
    second = asked(services, folder, since=first)
    task = claim_task(database, ControlKind.PLAN)
    carry, calls = ledger.carry, []

    class Killed(BaseException):
        pass

    def dies(*given: object) -> str:
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return carry(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "carry", dies)
    with pytest.raises(Killed):
        planning.plan(services, task, lambda: None)
    assert len(values(database, second)) == 6
    monkeypatch.setattr(ledger, "carry", carry)
    ledger.renew_control(database, task, -1.0)
    assert ledger.expire_control(database) == [task.task_id]
    photographs(folder, range(12, 13))  # the next planner keeps to the listing of the first
    planned(services, second)
    job = queries.get_job(database, second)
    assert (job.state, job.total, job.explained, job.carried, job.removed) == (JobState.RUNNING, 12, 2, 10, 0)
    explained(services, second)
    again = whole(services, folder)
    assert {**values(database, second)}.items() <= values(database, again).items()
    sums, expected = queries.job_sums(database, second), queries.job_sums(database, again)
    assert sums.statuses() == {"ok": 12}
    assert expected.statuses() == {"ok": 13}
    # A planner whose lease was lost carries nothing more.
    assert ledger.carry(database, task, "m", first, 2, [0], [{}]) == "lost"


def test_a_job_that_is_deleted_meanwhile_leaves_its_images_to_be_explained(
    services: ControlServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, folder = services.database, photographs(tmp_path / "photographs", range(8))
    first = whole(services, folder)
    second = asked(services, folder, since=first)
    task = claim_task(database, ControlKind.PLAN)
    carry, calls = ledger.carry, []

    def deleted_before_the_second(*given: object) -> str:
        calls.append(1)
        if len(calls) == 2:
            ledger.delete_job(database, first)
        return carry(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "carry", deleted_before_the_second)
    assert planning.plan(services, task, lambda: None).startswith("5 images")
    job = queries.get_job(database, second)
    assert (job.explained, job.carried) == (5, 3)
    explained(services, second)
    assert len(values(database, second)) == 8
    with database.read() as connection:
        kept = connection.execute(sa.select(part_references.c.part_id)).scalars().all()
    assert [queries.part_of(database, part_id).job_id for part_id in kept] == [first]
    ledger.delete_job(database, second)
    with pytest.raises(StoreError):
        queries.part_of(database, kept[0])


def test_failed_images_are_explained_again_and_retried_ones_replace_what_was_carried(
    services: ControlServices, tmp_path: Path
) -> None:
    database, folder = services.database, photographs(tmp_path / "photographs", range(4))
    first = whole(services, folder, failed="00002.ppm")
    second = asked(services, folder, since=first)
    planned(services, second)
    job = queries.get_job(database, second)
    assert (job.explained, job.carried) == (1, 3)
    assert job.metadata is not None
    assert (job.metadata["since"]["new"], job.metadata["since"]["changed"]) == (0, 1)
    explained(services, second)
    assert set(queries.job_sums(database, second).statuses()) == {"ok"}
    progress = queries.job_progress(database, second)
    assert (progress.done, progress.total) == (4, 4)
    with database.read() as connection:
        leased = sa.select(sa.func.count()).where(shards.c.job_id == second, shards.c.leased_at.is_(None))
        assert connection.execute(leased).scalar_one() == 1


def test_a_dataset_that_lost_more_than_half_needs_a_person(services: ControlServices, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photographs", range(5))
    first = whole(services, folder)
    for number in range(3):
        (folder / f"{number:05d}.ppm").unlink()
    second = asked(services, folder, since=first)
    planned(services, second)
    job = queries.get_job(services.database, second)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "lost 3 of the 5 images" in job.error
    third = asked(services, folder, since=first, allow_shrunk=True)
    planned(services, third)
    assert queries.get_job(services.database, third).carried == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"overrides": {"steps_class": 16}}, "other method"),
        ({"metrics": ("deletion",)}, "other metrics"),
        ({"target": 1}, "other target"),
        ({"batch": 8}, "a batch of 4, not 8"),
    ],
)
def test_another_question_carries_nothing_and_says_why(
    services: ControlServices, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    folder = photographs(tmp_path / "photographs", range(3))
    first = whole(services, folder)
    second = asked(services, folder, since=first, **change)
    planned(services, second)
    job = queries.get_job(services.database, second)
    assert (job.explained, job.carried, job.profile) == (3, 0, None)
    assert job.metadata is not None
    assert reason in job.metadata["warnings"][-1]


def test_without_a_worker_of_the_same_device_everything_is_explained(
    services: ControlServices, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "photographs", range(3))
    first = whole(services, folder)
    request = JobRequest(dataset=str(folder), model="net", target="predicted", since=first)
    assert incremental.preview(services.database, services.settings, request).counts.carried == 3
    cards = request.model_copy(update={"queue": "gpu"})  # no worker on a CPU would ever take from it
    assert incremental.preview(services.database, services.settings, cards).counts.carried == 0
    worker = {"id": "w:1", "device": "cuda:H100", "queues": ["explain"], "state": "up"}
    ledger.heartbeat(services.database, worker)
    plan = incremental.preview(services.database, services.settings, request)
    assert plan.counts.carried == 0
    assert "no worker of the queue 'explain' has it" in plan.sentence()


def test_a_job_that_carries_results_stays_where_the_device_of_the_earlier_job_is(
    services: ControlServices, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "photographs", range(3))
    first = whole(services, folder)
    small_cpu_and_card(services.database)
    request = JobRequest(dataset=str(folder), model="net", target="predicted", batch=4)
    assert spec_of(services.database, services.settings, request).queue == "gpu"
    spec = spec_of(services.database, services.settings, request.model_copy(update={"since": first}))
    assert (spec.queue, spec.routed) == ("explain", False)


def test_what_cannot_be_a_parent_is_refused(services: ControlServices, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photographs", range(3))
    first = asked(services, folder)
    with pytest.raises(Invalid, match="queued; wait for its end"):
        asked(services, folder, since=first)
    planned(services, first)
    explained(services, first)
    other = photographs(tmp_path / "others", range(3))
    with pytest.raises(Invalid, match="between jobs of one dataset"):
        asked(services, other, since=first)
    with pytest.raises(Invalid, match="go with since"):
        asked(services, folder, verify=0.5)


def test_after_the_loss_of_the_database_results_are_carried_again(
    services: ControlServices, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "photographs", range(6))
    bucket, first = services.bucket, real_job(services, folder)
    photographs(folder, range(6, 8))
    second = real_job(services, folder, since=first)
    before = values(services.database, second)
    with services.database.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))
    rebuilt = {one.job_id: (one.missing, one.error) for one in rebuild(services.database, bucket)}
    assert rebuilt == {first: (0, None), second: (0, None)}
    assert values(services.database, second) == before
    job = queries.get_job(services.database, second)
    assert (job.explained, job.carried, job.removed) == (2, 6, 0)


def real_job(services: ControlServices, folder: Path, **request: object) -> str:
    """An ended job whose parts are in the bucket."""
    job = asked(services, folder, **request)
    planned(services, job)
    keys = key_by_row(services, job)
    while (found := ledger.claim_shard(services.database, "worker", "explain", 60.0)) is not None:
        grid = np.zeros((2, 2), np.float32)
        rows = [
            Result(row=row, key=keys[row], status=ImageStatus.OK, target=1, grid=grid)
            for row in range(found.start, found.stop)
        ]
        header = PartHeader(
            *(job, found.shard_id, found.fence, "d" * 64, "m" * 64, {}, {}, PROFILE),
            align_corners=False,
            input_size=(8, 8),
            code_version="test",
        )
        written = parts.write(header, rows)
        key = f"parts/{job}/{found.shard_id}/{found.fence}-{new_id()}.parquet"
        services.bucket.put(key, written.data)
        record = PartRecord(new_id(), key, written.sha256, len(written.data), len(rows))
        ledger.freeze_profile(services.database, job, PROFILE, "cpu")
        assert ledger.commit_shard(services.database, found, found.stop, record, rows)
    ledger.finish_jobs(services.database)
    perform(services, claim_control(services), threading.Event())
    return job


def claim_control(services: ControlServices) -> ControlClaim:
    task = ledger.claim_control(services.database, "planner", 60.0)
    assert task is not None
    assert task.kind is ControlKind.REPORT
    return task


def test_an_outage_while_results_are_verified_is_no_verdict(database: Database) -> None:
    """It was written to the job as "not verified", for good, by a report that would have been tried again."""

    def away(*_: object) -> Never:
        raise Transient("the store is not answering")

    asked = {"job": "first", "verify": 2, "verify_from": 0, "from_rows": "jobs/x/from-rows.parquet"}
    job: Any = SimpleNamespace(id="second", metadata={"since": asked})
    with pytest.raises(Transient):
        incremental.verification(database, cast(Bucket, SimpleNamespace(get_to=away)), job)


def test_a_part_that_is_gone_leaves_results_unverified_with_the_reason(database: Database) -> None:
    def gone(*_: object) -> Never:
        raise NotFound("there is no such object")

    asked = {"job": "first", "verify": 2, "verify_from": 0, "from_rows": "jobs/x/from-rows.parquet"}
    job: Any = SimpleNamespace(id="second", metadata={"since": asked})
    found = incremental.verification(database, cast(Bucket, SimpleNamespace(get_to=gone)), job)
    assert found == {"images": 0, "differing": 0, "error": "not verified: there is no such object"}

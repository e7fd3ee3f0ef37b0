"""Planners that die, freeze and come back, against real databases and a real S3 server, without torch."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from gfi.cli.servers import Server
from gfi.datasets.manifest import Manifest
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs import routing
from gfi.jobs.rates import BenchRate, remember
from gfi.jobs.submit import JobRequest, submit
from gfi.jobs.task_run import Interrupted
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict
from gfi.store.ledger.leases import OTHER_RELEASES
from gfi.store.ledger.restoring import CARRIED
from gfi.store.objects import Bucket
from gfi.store.tables import workers
from scheduler import planning
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.service.model_record import RECORD
from tests.service.store.ledger_actors import OVER, claim, claim_task, commit, part, records
from tests.service.store.test_objects import settings_for
from tests.unit.jobs.test_listing_reader import write_bomb


@pytest.fixture
def services(database: Database, s3: Server) -> Iterator[ControlServices]:
    settings = settings_for(s3.url, s3_bucket="planning-tests")
    bucket = Bucket.from_settings(settings)
    bucket.ensure()
    ledger.save_model(database, "net", RECORD["digest"], RECORD, actor="test")
    yield ControlServices(settings, database, bucket)
    bucket.delete_many([found.key for found in bucket.list("")])


def photographs(folder: Path, numbers: range) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.new("RGB", (8, 8)).save(folder / f"{number:05d}.ppm")
    return folder


def small_cpu_and_card(database: Database) -> None:
    """A worker with a CPU and 8 GiB, one with an A10, and a model of which an image takes 5 GiB."""
    for name, device, queues, memory in (
        ("c:1", "cpu", ["explain", "cpu"], {"memory_mib": 8 * 1024}),
        ("g:1", "cuda:A10", ["explain", "gpu"], {"device_memory_mib": 24 * 1024}),
    ):
        ledger.heartbeat(
            database, {"id": name, "device": device, "queues": queues, "state": "up", "facts": memory}
        )
    rates = [BenchRate("tuned", (), 1.0, peak_bytes=5 * 2**30)]
    remember(database, "net", [RECORD["digest"]], "cuda:A10", rates)


class Frozen:
    """A planner whose lease expires while it is suspended; it continues after `meanwhile`, without knowing that."""

    def __init__(self, services: ControlServices, task: ControlClaim, meanwhile) -> None:
        self._services, self._task, self._meanwhile = services, task, meanwhile
        self._slept = False

    def alive(self) -> None:
        if not self._slept:
            self._slept = True
            ledger.renew_control(self._services.database, self._task, OVER)
            assert ledger.expire_control(self._services.database) == [self._task.task_id]
            self._meanwhile()


def manifest(services: ControlServices, key: str, folder: Path) -> tuple[str, list[int]]:
    """(SHA-256, the rows' numbers in the job's own manifest)."""
    path = folder / "found.parquet"
    services.bucket.get_to(key, path)
    opened = Manifest.open(path)
    return hashlib.sha256(path.read_bytes()).hexdigest(), [e.row for e in opened.rows(0, opened.count)]


def test_a_planner_frozen_past_its_lease_does_not_touch_the_manifest_of_the_one_that_planned(
    services: ControlServices, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "photographs", range(4))
    request = JobRequest(dataset=str(folder), model="net", target="predicted")
    job = submit(services.database, services.settings, request).job_id

    def another_plans() -> None:
        photographs(folder, range(4, 9))  # by then the listing differs from that of the first planner
        task = claim_task(services.database, ControlKind.PLAN)
        assert planning.plan(services, task, lambda: None).startswith("9 images")
        for number in range(2, 9):
            (folder / f"{number:05d}.ppm").unlink()

    first = claim_task(services.database, ControlKind.PLAN)
    with pytest.raises(Interrupted):
        planning.plan(services, first, Frozen(services, first, another_plans).alive)
    found = queries.get_job(services.database, job)
    assert (found.state, found.total) == (JobState.RUNNING, 9)
    assert found.manifest_key is not None
    assert manifest(services, found.manifest_key, tmp_path) == (found.manifest_digest, list(range(9)))
    written = json.loads(services.bucket.get(f"jobs/{job}/job.json"))["manifest"]
    carried = json.loads(services.bucket.get(f"jobs/{job}/job.json"))
    assert {name: carried[name] for name in CARRIED} == {name: getattr(found, name) for name in CARRIED}
    assert (written["key"], written["sha256"], written["count"]) == (
        found.manifest_key,
        found.manifest_digest,
        9,
    )


def test_a_job_that_was_moved_to_cards_comes_back_when_they_are_gone(
    services: ControlServices, tmp_path: Path
) -> None:
    database, folder = services.database, photographs(tmp_path / "photographs", range(2))
    small_cpu_and_card(database)
    request = JobRequest(dataset=str(folder), model="net", target="predicted", batch=4)
    moved = submit(database, services.settings, request).job_id
    ledger.cancel_job(database, moved)
    ledger.retry_job(database, moved, [])  # it was never planned
    asked = submit(database, services.settings, request.model_copy(update={"queue": "gpu"}), new=True).job_id
    assert [queries.get_job(database, job).queue for job in (moved, asked)] == ["gpu", "gpu"]
    ledger.heartbeat(database, {"id": "g:1", "state": "stopping"})
    for _ in (moved, asked):
        planning.plan(services, claim_task(database, ControlKind.PLAN), lambda: None)
    assert [queries.get_job(database, job).queue for job in (moved, asked)] == ["explain", "gpu"]


def test_a_planner_whose_job_was_deleted_during_its_upload_writes_no_job_json(
    services: ControlServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild of the database would bring the deleted job back."""
    folder = photographs(tmp_path / "photographs", range(2))
    request = JobRequest(dataset=str(folder), model="net", target="predicted")
    job = submit(services.database, services.settings, request).job_id
    task = claim_task(services.database, ControlKind.PLAN)
    put, gone = services.bucket.put, threading.Event()

    def slow(key: str, *what: Any, **how: Any) -> str:
        written = put(key, *what, **how)
        if not gone.is_set():
            ledger.cancel_job(services.database, job)
            ledger.delete_job(services.database, job)
            gone.set()
        return written

    def check() -> None:
        if gone.is_set():
            raise Interrupted

    monkeypatch.setattr(services.bucket, "put", slow)
    with pytest.raises(Interrupted):
        planning.plan(services, task, check)
    assert not [entry.key for entry in services.bucket.list(f"jobs/{job}/job.json")]


def test_a_moved_job_that_nobody_has_begun_leaves_the_queue_of_a_card_that_is_gone(
    services: ControlServices, tmp_path: Path
) -> None:
    """It stayed there, while the workers of `explain` had nothing to do."""
    database, folder = services.database, photographs(tmp_path / "photographs", range(2))
    small_cpu_and_card(database)
    request = JobRequest(dataset=str(folder), model="net", target="predicted", batch=4)
    moved = submit(database, services.settings, request).job_id
    asked = submit(database, services.settings, request.model_copy(update={"queue": "gpu"}), new=True).job_id
    for _ in (moved, asked):
        planning.plan(services, claim_task(database, ControlKind.PLAN), lambda: None)
    ledger.heartbeat(database, {"id": "g:1", "state": "stopping"})
    assert routing.move_back(database) == [], "it may be started again"
    with database.begin() as connection:
        earlier = sa.update(workers).where(workers.c.id == "g:1")
        connection.execute(earlier.values(seen_at=workers.c.seen_at - routing.GONE_S - 1.0))
    assert routing.move_back(database) == [(moved, "explain")]
    assert routing.move_back(database) == []
    assert [queries.get_job(database, job).queue for job in (moved, asked)] == ["explain", "gpu"]
    (entry,) = queries.list_audit(database, job_id=moved, action="job.moved")
    assert entry["details"] == {"from": "gpu", "to": "explain"}


def test_a_moved_job_that_a_worker_has_begun_stays(services: ControlServices, tmp_path: Path) -> None:
    database, folder = services.database, photographs(tmp_path / "photographs", range(2))
    small_cpu_and_card(database)
    request = JobRequest(dataset=str(folder), model="net", target="predicted", batch=4)
    moved = submit(database, services.settings, request).job_id
    planning.plan(services, claim_task(database, ControlKind.PLAN), lambda: None)
    with database.begin() as connection:
        connection.execute(sa.update(workers).values(seen_at=workers.c.seen_at - routing.GONE_S - 1.0))
    leased = ledger.claim_shard(database, "g:1", "gpu", 60.0)
    assert leased is not None
    assert routing.move_back(database) == [], "its worker is loading the network"
    ledger.freeze_profile(database, moved, {"device_kind": "cuda:A10"}, "cuda:A10")
    assert ledger.release_shard(database, leased, "told to stop")
    assert routing.move_back(database) == [], "its masks are those of a card"


def test_a_listing_that_was_written_down_is_the_jobs_whoever_finishes_planning(
    services: ControlServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between job.json and its transaction: bucket and ledger must not differ."""
    folder = photographs(tmp_path / "photographs", range(4))
    request = JobRequest(dataset=str(folder), model="net", target="predicted")
    job = submit(services.database, services.settings, request).job_id
    first = claim_task(services.database, ControlKind.PLAN, lease_s=OVER)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "finish_planning", lambda *_, **__: False)
        with pytest.raises(Interrupted):
            planning.plan(services, first, lambda: None)
    photographs(folder, range(4, 9))
    ledger.expire_control(services.database)
    assert planning.plan(services, claim_task(services.database, ControlKind.PLAN), lambda: None).startswith(
        "4 images"
    )
    found = queries.get_job(services.database, job)
    written = json.loads(services.bucket.get(f"jobs/{job}/job.json"))["manifest"]
    assert (written["key"], written["sha256"]) == (found.manifest_key, found.manifest_digest)
    assert found.total == 4


def test_a_folder_that_was_empty_is_listed_anew_by_a_retry(services: ControlServices, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photographs", range(0))
    request = JobRequest(dataset=str(folder), model="net", target="predicted")
    job = submit(services.database, services.settings, request).job_id
    perform(services, claim_task(services.database, ControlKind.PLAN), threading.Event())
    assert "no images" in (queries.get_job(services.database, job).error or "")
    photographs(folder, range(3))
    ledger.retry_job(services.database, job)
    planning.plan(services, claim_task(services.database, ControlKind.PLAN), lambda: None)
    found = queries.get_job(services.database, job)
    assert (found.state, found.total) == (JobState.RUNNING, 3)


def test_a_retrys_planner_that_wakes_late_does_not_touch_the_manifest_of_the_one_that_planned(
    services: ControlServices, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "photographs", range(4))
    request = JobRequest(dataset=str(folder), model="net", target="predicted")
    job = submit(services.database, services.settings, request).job_id
    planning.plan(services, claim_task(services.database, ControlKind.PLAN), lambda: None)
    assert commit(services.database, claim(services.database), status=ImageStatus.ERROR)
    ledger.finish_jobs(services.database)
    ledger.retry_job(services.database, job)

    def another_plans_and_a_worker_begins() -> None:
        task = claim_task(services.database, ControlKind.RETRY)
        assert planning.plan_retry(services, task, lambda: None) == "4 images again"
        held = claim(services.database)
        assert commit(services.database, held, upto=2, rows=[0, 1])

    late = claim_task(services.database, ControlKind.RETRY)
    frozen = Frozen(services, late, another_plans_and_a_worker_begins)
    with pytest.raises(Interrupted):
        planning.plan_retry(services, late, frozen.alive)
    rest = claim(services.database)
    assert (rest.start, rest.stop) == (2, 4)
    assert manifest(services, rest.manifest_key, tmp_path)[1] == [0, 1, 2, 3]


def test_a_retry_by_class_explains_each_image_once(services: ControlServices, tmp_path: Path) -> None:
    """The first retry of two unreadable images failed for lack of storage. A second, by both classes, explained them
    twice; a third, by storage, explained them again although they had a mask by then."""
    database = services.database
    folder = photographs(tmp_path / "photographs", range(2))
    request = JobRequest(dataset=str(folder), model="net", target="predicted")
    job = submit(database, services.settings, request).job_id
    planning.plan(services, claim_task(database, ControlKind.PLAN), lambda: None)
    held = claim(database)
    rows = records([0, 1], ImageStatus.ERROR, error_class="unreadable")
    assert ledger.commit_shard(database, held, 2, part(held, 2), rows)
    ledger.finish_jobs(database)

    def retry(*classes: str) -> str:
        ledger.retry_job(database, job, classes=classes)
        return planning.plan_retry(services, claim_task(database, ControlKind.RETRY), lambda: None)

    assert retry("storage") == "0 images again"
    assert retry("unreadable") == "2 images again"
    for _ in range(OTHER_RELEASES):
        assert ledger.release_shard(database, claim(database), "full", failure_class="storage", delay_s=0.0)
    ledger.finish_jobs(database)
    assert [(one["status"], one["error_class"]) for one in queries.failures(database, job)] == [
        ("error", "unreadable"),
        ("failed", "storage"),
    ]
    assert retry("storage", "unreadable") == "2 images again"
    assert commit(database, claim(database), rows=[0, 1])
    assert ledger.claim_shard(database, "worker", "explain", 60) is None
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    assert queries.failures(database, job) == []
    assert retry("storage") == "0 images again"
    assert queries.get_job(database, job).state is JobState.SUCCEEDED


def test_chosen_images_alone_are_explained_again(services: ControlServices, tmp_path: Path) -> None:
    database = services.database
    folder = photographs(tmp_path / "photographs", range(4))
    request = JobRequest(dataset=str(folder), model="net", target="predicted")
    job = submit(database, services.settings, request).job_id
    planning.plan(services, claim_task(database, ControlKind.PLAN), lambda: None)
    assert commit(database, claim(database))
    ledger.finish_jobs(database)
    ledger.retry_job(database, job, rows=[3, 1, 77])  # there is no image 77
    task = claim_task(database, ControlKind.RETRY)
    assert planning.plan_retry(services, task, lambda: None) == "2 images again"
    held = claim(database)
    assert manifest(services, held.manifest_key, tmp_path)[1] == [1, 3]
    with pytest.raises(Conflict, match="is running"):
        ledger.retry_job(database, job, rows=[1])


def test_a_listing_that_expands_fails_its_job_in_one_line_and_the_next_job_is_planned(
    services: ControlServices, tmp_path: Path
) -> None:
    limited = replace(services, settings=services.settings.model_copy(update={"listing_mib": 300}))
    write_bomb(tmp_path / "bomb.parquet")
    photographs(tmp_path / "photographs", range(2))
    jobs = [
        submit(services.database, services.settings, JobRequest(dataset=str(dataset), model="net")).job_id
        for dataset in (tmp_path / "bomb.parquet", tmp_path / "photographs")
    ]
    stop = threading.Event()
    outcomes = [perform(limited, claim_task(services.database, ControlKind.PLAN), stop) for _ in jobs]
    assert outcomes == ["failed", "2 images in shards of 64"]
    bomb, _ = (queries.get_job(services.database, job) for job in jobs)
    assert bomb.state is JobState.FAILED
    assert bomb.error is not None
    assert "takes more memory than the 300 MiB allowed (GFI_LISTING_MIB); write it" in bomb.error
    assert "\n" not in bomb.error

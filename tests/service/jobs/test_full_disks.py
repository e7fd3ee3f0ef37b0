"""A bucket or a disk without room: the reason is told, nothing half-written stays, and work goes on with room."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from gfi.jobs import listing_writer
from gfi.jobs.waiting import why_waiting
from gfi.store import ledger, queries
from gfi.store.objects import Bucket
from gfi.store.tables import control_tasks, shards
from scheduler import tasks
from scheduler.services import ControlServices
from tests.service.workers.conftest import PHOTOGRAPHS, explain, services, submit
from workers.lease import ShardLease
from workers.services import WorkerServices

__all__ = ["services"]
FULL = (
    b"<Error><Code>XMinioStorageFull</Code>"
    b"<Message>Storage backend has reached its minimum free drive threshold</Message></Error>"
)


@contextmanager
def full(bucket: Bucket) -> Iterator[None]:
    """The store refuses every object."""

    class Body:
        def stream(self, **_: object) -> Iterator[bytes]:
            yield FULL

    def refuse(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        return AWSResponse(request.url, 507, {}, Body())  # type: ignore[arg-type]

    bucket.client.meta.events.register("before-send.s3.PutObject", refuse)
    try:
        yield
    finally:
        bucket.client.meta.events.unregister("before-send.s3.PutObject", refuse)


def waits(services: WorkerServices, job: str) -> str:
    return why_waiting(services.database, queries.get_job(services.database, job)) or ""


def plan(services: WorkerServices) -> str:
    """A control worker does the next task, whose pause is over."""
    with services.database.begin() as connection:
        connection.execute(sa.update(control_tasks).values(not_before=0.0))
    claim = ledger.claim_control(services.database, "planner", 60)
    assert claim is not None
    planner = ControlServices(services.settings, services.database, services.bucket)
    return tasks.perform(planner, claim, threading.Event())


def waiting_job(services: WorkerServices, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job that is not planned yet."""
    with monkeypatch.context() as patched:
        patched.setattr(tasks, "perform", lambda *_: "images in shards")
        job = submit(services)
    with services.database.begin() as connection:
        connection.execute(sa.update(control_tasks).values(state="pending", lease_until=None))
    return job


def all_explained(services: WorkerServices, job: str) -> bool:
    rows = queries.list_results(services.database, job, limit=50)
    return [row.row for row in rows] == list(range(PHOTOGRAPHS))


def test_parts_wait_for_room_in_the_bucket(services: WorkerServices, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(services)
    # A shard is released when one lease long no put succeeded; here the first refusal is enough.
    monkeypatch.setattr(ShardLease, "retry", lambda _, call: call())
    with full(services.bucket):
        assert explain(services) == "released"
    assert not list(services.bucket.list("parts/"))
    assert f"{PHOTOGRAPHS} images: " in waits(services, job)
    assert "the store has no room (Storage backend has reached" in waits(services, job)
    with services.database.begin() as connection:
        connection.execute(sa.update(shards).values(not_before=0.0))
    assert explain(services) == "done"
    assert all_explained(services, job)


def test_planning_waits_for_room_in_the_bucket(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = waiting_job(services, monkeypatch)
    with full(services.bucket):
        for _ in range(10):  # more attempts than other faults have
            assert plan(services) == "failed"
    assert "list a dataset: http" in waits(services, job)
    assert "the store has no room" in waits(services, job)
    assert not list(services.bucket.list(f"jobs/{job}/"))
    assert "images in shards" in plan(services)
    assert explain(services) == "done"
    assert all_explained(services, job)


@pytest.mark.parametrize("mib", [0, 2048])
def test_planning_waits_for_room_on_the_disk(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch, mib: int, tmp_path: Path
) -> None:
    services.settings = services.settings.model_copy(update={"listing_mib": mib})
    job = waiting_job(services, monkeypatch)
    for folder in ("/dev/full", str(tmp_path / "gone")):
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "tempdir", folder)
            assert plan(services) == "failed"
        assert folder in waits(services, job)
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    with monkeypatch.context() as patched:  # the folder is there, and the file does not fit
        made = listing_writer.write_listing
        patched.setattr(
            "scheduler.planning.write_listing",
            lambda spec, settings, path, **how: made(spec, settings, link, **how),
        )
        assert plan(services) == "failed"
    assert "No space left on device" in waits(services, job)
    assert "images in shards" in plan(services)

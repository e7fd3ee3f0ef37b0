"""A worker whose own machine is in trouble takes no job with it."""

import tempfile

import pytest

from gfi.store import queries
from tests.service.workers.conftest import explain, submit
from workers.services import WorkerServices
from workers.shard import REFUSED


def test_a_worker_that_cannot_write_its_disk_gives_the_shard_to_others_and_rests(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(services)
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    assert explain(services) == REFUSED
    (shard,) = queries.list_shards(services.database, job)
    assert (shard["state"], shard["failure_class"]) == ("pending", "machine")
    assert "/dev/full" in shard["reason"]

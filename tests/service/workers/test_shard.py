"""A shard whose worker lacks memory or disk space: no image and no job fails because of that."""

import tempfile

import pytest
import torch

from gfi.method.inversion import Inversion
from gfi.store import queries
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from workers.services import WorkerServices
from workers.shard import REFUSED


def test_a_smaller_batch_is_a_new_profile_and_no_image_is_lost(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, tried = Inversion.step, []

    def step_with_room_for_two(self: Inversion) -> None:
        tried.append(self.batch)
        if self.batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        step(self)

    monkeypatch.setattr(Inversion, "step", step_with_room_for_two)
    job = submit(services, batch=8)
    assert explain(services) == "done"
    assert list(dict.fromkeys(tried)) == [8, 4, 2]
    found = queries.get_job(services.database, job)
    assert found.profile is not None
    assert found.profile["batch"] == 2
    rows = queries.job_progress(services.database, job).by_status
    assert sum(rows.values()) == PHOTOGRAPHS
    assert not rows["error"]
    # The next job of this model does not try the batch that did not fit again.
    tried.clear()
    submit(services, batch=8)
    assert explain(services) == "done"
    assert set(tried) == {2}


def test_where_not_even_one_image_fits_the_shard_is_given_back_and_says_so(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Inversion) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Inversion, "step", full)
    job = submit(services, batch=2)
    assert explain(services) == "released"
    (shard,) = queries.list_shards(services.database, job)
    assert "out of memory with 1 image per batch; use a smaller input or network" in str(shard)
    assert queries.job_progress(services.database, job).done == 0


def test_images_that_settle_early_are_all_recorded(services: WorkerServices) -> None:
    """Images end in another order, and their part has them in the order of the manifest."""
    job = submit(services, batch=2)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=50)
    assert [row.row for row in rows] == list(range(PHOTOGRAPHS))
    assert {row.iterations for row in rows} <= {8, 16}


def test_a_worker_that_cannot_write_its_disk_gives_the_shard_to_others_and_rests(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(services)
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    assert explain(services) == REFUSED
    (shard,) = queries.list_shards(services.database, job)
    assert (shard["state"], shard["failure_class"]) == ("pending", "machine")
    assert "/dev/full" in shard["reason"]

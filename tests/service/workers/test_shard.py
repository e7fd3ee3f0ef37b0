"""A shard whose worker lacks memory or disk space: no image and no job fails because of that."""

import html
import tempfile
from pathlib import Path

import pytest
import torch

from gfi.cli.job_summary import print_summary
from gfi.cli.local_service import LocalService
from gfi.cli.register_model import register
from gfi.jobs.report import write_report
from gfi.method.inversion import Inversion
from gfi.store import parts, queries
from tests.service.workers.conftest import MODEL, PHOTOGRAPHS, explain, submit
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


NOISY = """
import torch
from tests.unit.method.networks import Small

class Noisy(Small):
    def forward(self, x):
        return super().forward(torch.nn.functional.dropout(x, 0.1))

def build():
    return Noisy()
"""


def test_a_model_that_is_not_repeatable_is_named_in_job_report_and_part(
    services: WorkerServices, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (services.settings.models_dir / "noisy.py").write_text(NOISY)
    model = MODEL.replace("net.py", "noisy.py")
    (services.settings.models_dir / "noisy.toml").write_text("allow_nondeterministic = true\n" + model)
    register(services.database, services.settings, "noisy")
    registered = queries.find_model(services.database, "noisy")
    assert registered is not None
    reason = registered.record["nondeterministic"]
    assert "dropout" in reason
    job = submit(services, model="noisy")
    assert explain(services) == "done"
    (part,) = queries.iterate_parts(services.database, job)
    header = parts.read(services.bucket.get(part.key), part.sha256).header
    assert header.nondeterministic == reason
    warning = f"the model was registered with allow_nondeterministic: {reason}"
    assert queries.get_job(services.database, job).metadata["warnings"] == [warning]
    page = write_report(services.database, services.settings, services.bucket, job, tmp_path / "report")
    assert warning in html.unescape(page.read_text())
    print_summary(LocalService(services.settings, services.database), job)
    assert f"warning: {warning}" in capsys.readouterr().out

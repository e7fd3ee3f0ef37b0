"""Masks that are imported with a model are measured by its network, in a task that goes on where it was."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gfi.cli.register_model import register
from gfi.domain.job import UNVERIFIED, JobConfig
from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.states import ShardState
from gfi.domain.statuses import ImageStatus
from gfi.imports import importing
from gfi.imports.errors import ImportRefused
from gfi.imports.import_request import ImportRequest, import_of, request_import
from gfi.jobs.task_run import Interrupted, TaskRun
from gfi.method.engine import Engine
from gfi.store import ledger, parts, queries
from gfi.store.part_cache import PartCache
from tests.service.workers.conftest import MODEL, explain, submit
from workers.handlers import HANDLERS, perform_task
from workers.import_masks import check_members
from workers.services import WorkerServices


def test_deletion_and_insertion_of_imported_masks_are_those_of_a_job(
    services: WorkerServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = services.settings.dataset_roots[0] / "photographs"
    (tmp_path / "list.csv").write_text(
        "key,label\n" + "".join(f"photographs/{file.name},0\n" for file in sorted(photographs.glob("*.jpg")))
    )
    dataset = str(tmp_path / "list.csv")
    job = submit(services, dataset=dataset, target="auto", metrics=["deletion", "insertion"])
    assert explain(services) == "done"
    explained = list(queries.iterate_results(services.database, job))
    cache = PartCache(services.database, services.bucket)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for row in explained:
            found = cache.explanation(row)
            assert found is not None
            assert found.mask is not None
            buffer = io.BytesIO()
            np.save(buffer, found.mask)
            archive.writestr(f"{row.key}.npy", buffer.getvalue())
    task_id = request_import(
        services.database,
        services.bucket,
        ("m.zip", out.getvalue()),
        lambda masks: ImportRequest(masks, dataset, "elsewhere", model="small"),
    )
    monkeypatch.setattr(importing, "SHARD", 1)
    assert _perform(services) == f"{len(explained)} of {len(explained)} images have a mask"
    task = import_of(services.database, task_id)
    assert task.state is ShardState.DONE
    imported = queries.get_job(services.database, (task.result or {})["job"])
    assert imported.metadata["imported"] == UNVERIFIED
    assert {"deletion", "insertion"} <= set(imported.config.metrics)
    compared = 0
    for row, own in zip(queries.iterate_results(services.database, imported.id), explained, strict=True):
        for name in own.metrics if row.metrics else ():
            assert row.metrics[name] == pytest.approx(own.metrics[name], abs=1e-4)
            compared += 1
    assert compared >= 2


def test_an_import_is_done_once_by_the_version_of_the_model_with_which_it_began(
    services: WorkerServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its owner may have one active job, and where the network cannot be shown one of the photographs."""
    ledger.create_token(services.database, "ada", ["submit"], limits={"max_active_jobs": 1})
    description = services.settings.models_dir / "small.toml"
    description.write_text(f'{MODEL}crop = "centre"\n')
    register(services.database, services.settings, "small")
    photographs = services.settings.dataset_roots[0] / "photographs"
    Image.new("RGB", (200_000, 1)).save(photographs / "wide.png")
    names = [sorted(photographs.glob("*.jpg"))[0].name, "wide.png"]
    dataset = tmp_path / "list.csv"
    dataset.write_text("key,label\n" + "".join(f"photographs/{name},0\n" for name in names))
    out = io.BytesIO()
    np.savez(out, masks=np.linspace(0, 1, 32).reshape(2, 4, 4))
    task_id = request_import(
        services.database,
        services.bucket,
        ("m.npz", out.getvalue()),
        lambda masks: ImportRequest(masks, str(dataset), "elsewhere", model="small", owner="ada"),
    )
    first = queries.find_model(services.database, "small")
    assert first is not None
    asked = []
    get = services.engines.get

    def get_noted(config: JobConfig) -> Engine:
        asked.append(config.model.digest)
        return get(config)

    def interrupted(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(services.engines, "get", get_noted)
    for place, name in ((parts, "write"), (TaskRun, "finish")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, interrupted)
            assert _perform(services) == "interrupted"
        description.write_text(MODEL.replace("seed:0", "seed:1"))
        register(services.database, services.settings, "small")
    job_id = (import_of(services.database, task_id).progress or {})["job"]
    assert queries.get_job(services.database, job_id).ended
    assert _perform(services) == "2 of 2 images have a mask"
    assert asked == [first.digest] * 2
    shown, wide = queries.iterate_results(services.database, job_id)
    assert "deletion" in shown.metrics
    assert (wide.status, wide.error_class, "deletion" in wide.metrics) == (
        ImageStatus.OK,
        "unmeasured",
        False,
    )


@pytest.mark.parametrize("ending", ["zip", "npz"])
def test_an_archive_with_tensors_is_refused(tmp_path: Path, ending: str) -> None:
    with zipfile.ZipFile(tmp_path / f"tensors.{ending}", "w") as archive:
        archive.writestr("a.PT", b"")
    with pytest.raises(ImportRefused, match="which only `gfi import` reads"):
        check_members(tmp_path / f"tensors.{ending}")


def _perform(services: WorkerServices) -> str:
    claim = ledger.claim_work(services.database, "w", EXPLAIN_QUEUE, 60.0, kinds=sorted(HANDLERS))
    assert isinstance(claim, ControlClaim)
    return perform_task(services, claim)

"""Masks that are imported with a model are measured by its network, in a task that goes on where it was."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gfi.domain.job import UNVERIFIED
from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.states import ShardState
from gfi.imports import importing
from gfi.imports.errors import ImportRefused
from gfi.imports.import_request import ImportRequest, import_of, request_import
from gfi.store import ledger, queries
from gfi.store.part_cache import PartCache
from tests.service.workers.conftest import explain, submit
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


def test_a_zip_with_tensors_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tensors.zip", "w") as archive:
        archive.writestr("a.PT", b"")
    with pytest.raises(ImportRefused, match="which only `gfi import` reads"):
        check_members(tmp_path / "tensors.zip")


def _perform(services: WorkerServices) -> str:
    claim = ledger.claim_work(services.database, "w", EXPLAIN_QUEUE, 60.0, kinds=sorted(HANDLERS))
    assert isinstance(claim, ControlClaim)
    return perform_task(services, claim)

"""Masks made elsewhere are a finished job: shown, measured, audited, compared and exported like any other."""

import csv
import io
import json
import os
import threading
import zipfile
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from gfi.cli.main import main
from gfi.client import Client
from gfi.client import imports as client_imports
from gfi.datasets.listing import fetched
from gfi.datasets.manifest import Entry
from gfi.domain.job import UNVERIFIED
from gfi.domain.preprocess import Preprocess
from gfi.domain.queues import EXPLAIN_QUEUE, IMPORT
from gfi.domain.records import ControlClaim, ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.imports import import_run, importing
from gfi.imports.errors import ImportRefused
from gfi.imports.import_request import ImportRequest
from gfi.imports.importing import import_masks, resume_import
from gfi.jobs.compare import compare_jobs
from gfi.jobs.submit import Invalid, request_from, submit
from gfi.store import ledger, queries
from gfi.store.errors import Conflict, LimitExceeded
from gfi.store.parts import PartHeader
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.service.api.conftest import MODEL, World
from workers.handlers import perform_task
from workers.services import WorkerServices


@pytest.fixture
def dataset(one_world: World, tmp_path: Path) -> Path:
    """A manifest with a label, a box and a column for each photograph; the third has a mask image of its object too."""
    path = one_world.photographs.parent / "labelled.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["key", "label", "boxes", "site", "region"])
        for at, name in enumerate(one_world.names[:-1]):
            with Image.open(one_world.photographs / name) as image:
                width, height = image.size
            if at == 2:
                drawn = Image.new("L", (width, height))
                drawn.paste(255, (width // 4, height // 4, width // 2, height // 2))
                drawn.save(one_world.photographs.parent / "object.png")
            box = json.dumps([[width // 4, height // 4, width // 2, height // 2]])
            out.writerow(
                [f"photographs/{name}", ["cat", "coffee"][at % 2], box, "A", "object.png" if at == 2 else ""]
            )
    return path


@pytest.fixture
def masks(one_world: World, tmp_path: Path) -> Path:
    """A mask in the box of each photograph but the last, which has none; the first is not finite."""
    folder = tmp_path / "maps" / "photographs"
    folder.mkdir(parents=True)
    for at, name in enumerate(one_world.names[:-2]):
        mask = np.zeros((32, 32))
        mask[9:15, 9:15] = 4 if at == 1 else 1
        if at == 0:
            mask[0, 0] = np.nan
        np.save(folder / f"{name}.npy", mask)
    return tmp_path / "maps"


def imported(world: World, masks: Path, dataset: Path, **more: Any) -> str:
    request = ImportRequest(masks, str(dataset), "captum-lrp", **more)
    return import_masks(world.database, world.settings, world.bucket, request).job_id


def task(world: World, kind: ControlKind) -> str:
    services = ControlServices(world.settings, world.database, world.bucket)
    while True:
        claim = ledger.claim_control(world.database, "planner", 60.0)
        assert claim is not None
        outcome = perform(services, claim, threading.Event())
        if claim.kind == kind:
            return outcome


def test_imported_masks_are_a_finished_job_with_box_metrics(
    one_world: World, masks: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the API: the client sends the folder, and a worker imports it."""
    monkeypatch.setattr(client_imports, "POLL_S", 0)
    worker = WorkerServices(one_world.settings, threads=1)
    uploads = list(one_world.bucket.list("uploads/"))  # of other files' tests: they share the bucket

    def through(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v1/imports/"):
            claim = ledger.claim_work(
                one_world.database, "w", EXPLAIN_QUEUE, 60.0, kinds=[ControlKind.IMPORT]
            )
            assert isinstance(claim, ControlClaim)
            assert perform_task(worker, claim) == "7 of 9 images have a mask"
        answer = one_world.client.request(
            request.method, str(request.url), headers=request.headers, content=request.read()
        )
        return httpx.Response(answer.status_code, content=answer.content)

    client = Client("http://test", one_world.tokens["submit"], transport=httpx.MockTransport(through))
    job = client.import_masks(masks, str(dataset), "captum-lrp").id
    worker.database.dispose()
    assert list(one_world.bucket.list("uploads/")) == uploads
    found = queries.get_job(one_world.database, job)
    assert found.state is JobState.PARTIAL  # an image has no mask
    rows = list(queries.iterate_results(one_world.database, job))
    assert [row.status for row in rows[:2]] == [ImageStatus.NONFINITE, ImageStatus.OK]
    assert (rows[-1].status, rows[-1].error_class) == (ImageStatus.ERROR, "no_mask")
    assert rows[1].error_class == "scaled"
    assert (rows[2].error, rows[2].metrics.get("pointing_hit_0")) == (None, 1)
    assert rows[2].metrics["iou_box"] > 0.4
    assert (rows[1].metrics.get("iou_region"), rows[2].metrics["iou_region"] > 0.4) == (None, True)
    assert {row.target for row in rows} == {0, 1}
    assert rows[2].columns == {"site": "A"}
    shown = one_world.call("GET", f"/v1/jobs/{job}", "read").json()
    assert shown["config"]["imported"]["method"] == "captum-lrp"
    assert shown["facts"]["warnings"][0].startswith(UNVERIFIED)
    assert one_world.call("GET", f"/v1/jobs/{job}/results/2/overlay.png", "read").status_code == 200
    summary = one_world.call("GET", f"/v1/jobs/{job}/summary", "read").json()
    assert summary["means"]["iou_box"]["count"] == len(rows) - 2
    line = one_world.call("GET", f"/v1/jobs/{job}/export?format=jsonl&view=rows%3D2", "read").json()
    assert (line["provenance"], line["target_name"]) == (UNVERIFIED, "cat")
    assert task(one_world, ControlKind.REPORT) == "written"
    for place in ("failures", "groups?by=site"):
        assert one_world.call("GET", f"/v1/jobs/{job}/{place}", "read").status_code == 200


def test_reports_audits_and_comparisons_read_imported_masks(
    one_world: World, masks: Path, dataset: Path
) -> None:
    job, other = (
        imported(one_world, masks, dataset, model=MODEL, crop=True),
        imported(one_world, masks, dataset),
    )
    assert queries.get_job(one_world.database, job).config.model.reference == MODEL
    report = one_world.call("GET", f"/v1/jobs/{other}/report.zip", "read")
    with zipfile.ZipFile(io.BytesIO(report.content)) as files:
        assert UNVERIFIED in files.read("index.html").decode()
    asked = one_world.call("POST", f"/v1/jobs/{job}/audit", "submit", json={"dry_run": True})
    assert asked.status_code in (200, 201, 202), asked.text
    assert task(one_world, ControlKind.SCREEN) != "failed"
    compared = compare_jobs(one_world.database, one_world.bucket, other, other, today=date(2026, 11, 28))
    counted = compared.to_json()["comparison"]
    assert (counted["pairs"], counted["bit_equal"]) == (7, 7)


def test_an_imported_job_is_never_explained_again_and_no_worker_takes_it(
    one_world: World, masks: Path, dataset: Path
) -> None:
    job = imported(one_world, masks, dataset)
    assert queries.get_job(one_world.database, job).queue.startswith(IMPORT)
    with pytest.raises(Conflict, match="were imported"):
        ledger.retry_job(one_world.database, job)
    again = request_from(dataset=str(dataset), model=MODEL, since=job, owner="ann")
    with pytest.raises(Invalid, match="were imported"):
        submit(one_world.database, one_world.settings, again)
    assert [
        hint for hint in ledger.dispatch(one_world.database, 8, 60.0) if hint.queue.startswith(IMPORT)
    ] == []


def test_an_interrupted_import_goes_on_where_it_was(
    one_world: World, masks: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = one_world
    monkeypatch.setattr(importing, "SHARD", 4)
    monkeypatch.setattr(import_run, "POLL_S", 0.01)
    request = ImportRequest(masks, str(dataset), "captum-lrp")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_masks(world.database, world.settings, world.bucket, request, interrupt)
    (job,) = queries.list_jobs(world.database)
    assert job.state is JobState.RUNNING
    done = [row.part_id for row in queries.iterate_results(world.database, job.id)]
    assert len(done) == 4
    with pytest.raises(ImportRefused, match="imports maps; this is photographs"):
        resume_import(world.database, world.settings, world.bucket, job.id, masks / "photographs")
    os.utime(world.photographs / world.names[7], (1, 1))
    # As after a kill: the second shard is still leased, and its lease has run out.
    assert ledger.claim_shard(world.database, "killed", job.queue, 0.0) is not None
    whole = resume_import(world.database, world.settings, world.bucket, job.id, masks)
    assert (whole.images, whole.with_mask) == (9, 6)
    rows = list(queries.iterate_results(world.database, job.id))
    assert [row.row for row in rows] == list(range(9))
    assert (rows[7].status, rows[7].error_class) == (ImageStatus.CHANGED, "changed")
    assert [row.part_id for row in rows[:4]] == done  # what was committed is not imported again
    with pytest.raises(ImportRefused, match="is partial; only an import that was interrupted"):
        resume_import(world.database, world.settings, world.bucket, job.id, masks)


def test_an_attempt_that_lost_its_lease_leaves_the_job_to_the_other(
    one_world: World, masks: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = one_world
    header = import_run.ImportRun._header

    def after_the_lease(self: import_run.ImportRun, claim: ShardClaim) -> PartHeader:
        assert ledger.expire_leases(world.database)
        return header(self, claim)

    monkeypatch.setattr(import_run, "LEASE_S", -1.0)
    monkeypatch.setattr(import_run.ImportRun, "_header", after_the_lease)
    with pytest.raises(import_run.Overtaken):
        imported(world, masks, dataset)
    (job,) = queries.list_jobs(world.database)
    assert job.state is JobState.RUNNING


@pytest.mark.parametrize("strongest", [1, 200])
def test_zeros_and_ones_are_a_mask_only_where_no_mask_of_the_import_has_more(
    one_world: World, dataset: Path, tmp_path: Path, strongest: int
) -> None:
    """Decided for each image alone, the faintest of soft maps was a full mask among shares of 255."""
    folder = tmp_path / "grey" / "photographs"
    folder.mkdir(parents=True)
    for at, name in enumerate(one_world.names):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:16, 8:16] = strongest if at == 5 else 1
        np.save(folder / f"{name}.npy", mask)
    rows = list(queries.iterate_results(one_world.database, imported(one_world, tmp_path / "grey", dataset)))
    faint = [strongest > 1 and row.row != 5 for row in rows]
    assert [row.error == import_run.FAINT for row in rows] == faint
    assert [row.status is ImageStatus.EMPTY for row in rows] == faint


def test_photographs_are_read_with_the_channels_of_the_network() -> None:
    out = io.BytesIO()
    np.save(out, np.full((8, 9, 5), 255, np.uint8))
    run: Any = import_run.ImportRun.__new__(import_run.ImportRun)
    run._network, run._known = object(), Preprocess((4, 4), 5)
    run._source = SimpleNamespace(fetch=lambda key, version: fetched(out.getvalue(), "v", "v"))
    entry, result = Entry(0, "a.npy", 1, "v"), Result(row=0, key="a.npy", status=ImageStatus.OK)
    photograph, _ = run._photograph(entry, result)
    assert photograph is not None
    assert photograph.seen.shape == (8, 9, 5)
    out.seek(0)
    out.truncate()
    Image.new("RGB", (9, 8)).save(out, "JPEG")
    photograph, refused = run._photograph(entry, result)
    assert (photograph, refused.error_class) == (None, "unreadable")
    run._network = None  # nothing is measured, so a preview of the stack will do
    photograph, _ = run._photograph(entry, result)
    assert photograph is not None
    assert photograph.size == (8, 9)


def test_what_does_not_belong_together_is_refused_before_a_job_is_made(
    one_world: World, masks: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LimitExceeded("no more")

    def refused(said: str, path: Path = masks, method: str = "mine", **more: Any) -> None:
        request = ImportRequest(path, str(dataset), method, **more)
        with pytest.raises(ImportRefused) as error:
            import_masks(one_world.database, one_world.settings, one_world.bucket, request)
        assert said in str(error.value)

    np.save(tmp_path / "three.npy", np.zeros((3, 4, 4)))
    (tmp_path / "empty").mkdir()
    refused("has 3 masks in the order of the listing", tmp_path / "three.npy")
    coloured = tmp_path / "coloured" / "photographs"
    coloured.mkdir(parents=True)
    for name in one_world.names:
        Image.new("RGB", (4, 4), (255, 0, 0)).save(coloured / f"{name}.png")
    refused("none of the first 9 masks can be read", tmp_path / "coloured")
    refused("no mask in", tmp_path / "empty")
    refused("is a method of gfi itself", method="grad-cam")
    refused("--crop needs --model", crop=True)
    form = {"dataset": str(dataset), "method": "mine"}
    uploads = list(one_world.bucket.list("uploads/"))
    for name, more, said in (
        ("m.h5", {}, "arrive as .zip, .npz, .npy, not .h5"),
        ("m.zip", {"method": "grad-cam"}, "is a method of gfi itself"),
        ("m.zip", {"dataset": "nowhere:/etc"}, "nowhere"),
        ("m.zip", {"more": "x"}, "unknown field 'more'"),
        ("m.zip", {"crop": "maybe"}, "neither true nor false"),
    ):
        answer = one_world.call("POST", "/v1/imports", files={"masks": (name, b"x")}, data=form | more)
        assert (answer.status_code, said in answer.text) == (422, True), answer.text
    monkeypatch.setattr(ledger, "request_task", refuse)
    answer = one_world.call("POST", "/v1/imports", files={"masks": ("m.zip", b"x")}, data=form)
    assert answer.status_code == 429, answer.text
    assert list(one_world.bucket.list("uploads/")) == uploads
    assert queries.list_tasks(one_world.database, limit=9) == []
    assert queries.list_jobs(one_world.database) == []


def test_the_command_prints_the_job(
    one_world: World, masks: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "import",
        "--masks",
        str(masks),
        "--dataset",
        str(dataset),
        "--method",
        "captum-lrp",
        "--json",
    ]
    main(arguments)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["images"], printed["with_mask"]) == (9, 7)
    assert queries.get_job(one_world.database, printed["job"]).ended

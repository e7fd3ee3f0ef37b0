"""Jobs over DICOM files and over stacks of five channels, from submission to the pictures that people are shown."""

import csv
import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gfi.cli.register_model import register
from gfi.domain.queues import EXPLAIN_QUEUE, INTERACTIVE_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.exports.export import Export, ExportOptions
from gfi.exports.write import write_export
from gfi.jobs.report import write_report
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.store import ledger, queries
from gfi.store.part_cache import PartCache
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.service.api.conftest import World
from tests.unit.datasets.test_dicom import dicom
from tests.unit.datasets.test_planes import npy, pages
from workers.handlers import HANDLERS, perform_task
from workers.services import WorkerServices
from workers.shard import explain_shard

NET = """
from tests.unit.method.networks import Small

def build(channels):
    return Small(channels)
"""
MODEL = """
architecture = "file:net.py:build"
weights = "seed:0"
[arguments]
channels = {channels}
[input]
size = 32
channels = {channels}
window = [0, 4000]
"""
OPTIONS = {"preset": "tuned", "overrides": {"steps_class": 16}}
SIZE = (48, 64)
GREYS = (0.2, 0.35, 0.5, 0.65, 0.8)
"""The means of five channels: nothing is cut at black or white."""


@pytest.fixture
def worker(one_world: World) -> WorkerServices:
    """A worker in this process, with a network of three channels, `scans`, and one of five, `bands`."""
    models = one_world.settings.models
    models.mkdir(exist_ok=True)
    (models / "net.py").write_text(NET)
    (models / "scans.toml").write_text(MODEL.format(channels=3))
    (models / "bands.toml").write_text(MODEL.format(channels=5) + "shown = [5, 3, 1]\n")
    for name in ("scans", "bands"):
        register(one_world.database, one_world.settings, name)
    return WorkerServices(one_world.settings, threads=1)


def texture(mean: float, seed: int) -> NDArray[np.uint16]:
    """(48, 64) of 0 … 4000: a few soft blots around the mean."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8), np.uint8)
    soft = np.asarray(Image.fromarray(noise).resize(SIZE[::-1], Image.Resampling.BICUBIC), float) / 255
    values: NDArray[np.uint16] = np.round(4000 * (mean + 0.15 * (soft - soft.mean()))).astype(np.uint16)
    return values


def stack(seed: int) -> NDArray[np.uint16]:
    return np.stack([texture(mean, 5 * seed + i) for i, mean in enumerate(GREYS)], axis=2)


def run(world: World, worker: WorkerServices) -> None:
    """Plan and explain whatever waits."""
    control = ControlServices(world.settings, world.database, world.bucket)
    while (task := ledger.claim_control(world.database, "planner", 60.0)) is not None:
        perform(control, task, threading.Event())
    for queue in (EXPLAIN_QUEUE, INTERACTIVE_QUEUE):
        while (claim := ledger.claim_shard(world.database, "worker", queue, 60.0)) is not None:
            assert explain_shard(worker, claim) == "done"
    ledger.finish_jobs(world.database)


def submitted(answer: Any) -> str:
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job"]["id"])


def results(world: World, job: str) -> list[Result]:
    return queries.list_results(world.database, job, limit=50)


def picture(world: World, address: str) -> NDArray[np.uint8]:
    answer = world.call("GET", address, "read")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def of_jpeg(rgb: NDArray[np.uint8]) -> Any:
    """These colours, but for what a JPEG changes."""
    return pytest.approx(rgb.mean((0, 1)), abs=4)


def masks_are_those_of(
    world: World, worker: WorkerServices, job: str, arrays: list[NDArray[np.float32]], atol: float
) -> None:
    """Each mask of the job is that of its array in [0, 1], prepared here and explained alone by the same engine."""
    config = queries.get_job(world.database, job).config
    engine = worker.engines.get(config)
    cache = PartCache(world.database, world.bucket)
    for row, array in zip(results(world, job), arrays, strict=False):
        assert row.status not in (ImageStatus.ERROR, ImageStatus.CHANGED, ImageStatus.CONSTANT), row.error
        seen = array if array.shape[2] == 5 else np.round(255 * array).astype(np.uint8)
        prepared: Prepared = engine.classifier.prepare(seen, engine.recipe)
        (alone,) = engine.explain_many([Item(0, prepared, row.target)])
        kept = cache.explanation(row)
        assert kept is not None
        assert kept.result.grid is not None
        np.testing.assert_allclose(kept.result.grid, alone.grid, atol=atol)
        assert row.probability == pytest.approx(alone.probability, abs=1e-4)
        assert kept.result.original_size == SIZE


def test_each_frame_of_dicom_files_is_explained_and_shown(one_world: World, worker: WorkerServices) -> None:
    folder = one_world.photographs.parent / "scans"
    folder.mkdir(exist_ok=True)
    frames = [texture(mean, seed) for seed, mean in enumerate((0.3, 0.5, 0.7))]
    single = texture(0.4, 9)
    (folder / "a.dcm").write_bytes(dicom(frames[0], NumberOfFrames=3, PixelData=np.stack(frames).tobytes()))
    (folder / "IM000001").write_bytes(dicom(single))
    (folder / "z.dcm").write_bytes(dicom(single)[:-100])
    job = submitted(
        one_world.submit(dataset=f"{folder}?frames=each", model="scans", save=["overlay"], **OPTIONS)
    )
    run(one_world, worker)
    rows = results(one_world, job)
    assert [row.key for row in rows] == ["IM000001", "a.dcm#1", "a.dcm#2", "a.dcm#3", "z.dcm"]
    assert (rows[4].status, rows[4].error_class) == (ImageStatus.ERROR, "unreadable")
    greys = [(one / 4000).astype(np.float32) for one in (single, *frames)]
    masks_are_those_of(one_world, worker, job, [np.dstack([grey] * 3) for grey in greys], 0.05)
    for row, grey in zip(rows[:4], greys, strict=True):
        address = f"/v1/jobs/{job}/results/{row.row}"
        wanted = np.dstack([np.round(255 * grey).astype(np.uint8)] * 3)
        for name in ("photo.jpg", "thumbnail.jpg"):
            assert picture(one_world, f"{address}/{name}").mean((0, 1)) == of_jpeg(wanted)
        assert picture(one_world, f"{address}/mask.png").shape[:2] == SIZE
        assert one_world.call("GET", address).json()["window"]["high"] == 4000
        assert one_world.bucket.head(f"jobs/{job}/images/{row.row:08d}-overlay.png") is not None
    progress = one_world.call("GET", f"/v1/jobs/{job}").json()
    assert (progress["state"], progress["progress"]["by_status"]["error"]) == ("partial", 1)


def test_stacks_of_five_channels_are_explained_and_shown_in_the_colours_of_the_model(
    one_world: World, worker: WorkerServices, tmp_path: Path
) -> None:
    folder = one_world.photographs.parent / "bands"
    folder.mkdir(exist_ok=True)
    stacks = [stack(seed) for seed in range(3)]
    (folder / "a.npy").write_bytes(npy(stacks[0]))
    (folder / "b.npy").write_bytes(npy(stacks[1].transpose(2, 0, 1)))
    (folder / "c.tif").write_bytes(pages(stacks[2]))
    (folder / "d.npy").write_bytes(npy(stacks[0][..., :4]))
    Image.new("RGB", (64, 48), "red").save(folder / "e.png")
    job = submitted(one_world.submit(dataset=f"{folder}?suffixes=.npy,.tif,.png", model="bands", **OPTIONS))
    run(one_world, worker)
    rows = results(one_world, job)
    assert [row.key for row in rows] == ["a.npy", "b.npy", "c.tif", "d.npy", "e.png"]
    assert [row.status for row in rows[3:]] == [ImageStatus.ERROR] * 2
    assert rows[3].error == "it has 4 channels; the model takes 5"
    assert "the model takes 5 channels: a .npy file, or a TIFF of 5 grey pages, not PNG" in str(rows[4].error)
    masks_are_those_of(one_world, worker, job, [(one / 4000).astype(np.float32) for one in stacks], 1e-6)
    shown = [np.round(255 * (one[..., [4, 2, 0]] / 4000)).astype(np.uint8) for one in stacks]
    for row, wanted in zip(rows[:3], shown, strict=True):
        address = f"/v1/jobs/{job}/results/{row.row}"
        for name in ("photo.jpg", "thumbnail.jpg"):
            assert picture(one_world, f"{address}/{name}").mean((0, 1)) == of_jpeg(wanted)
        bare = picture(one_world, f"{address}/overlay.png?opacity=0").astype(int)
        assert np.abs(bare - wanted).max() <= 1
    refused = one_world.call("GET", f"/v1/jobs/{job}/results/3/photo.jpg")
    assert (refused.status_code, "the model takes 5" in refused.text) == (404, True)

    write_report(one_world.database, one_world.settings, one_world.bucket, job, tmp_path / "report")
    kept = sorted((tmp_path / "report").glob("images/*-thumb.jpg"))
    means = sorted(tuple(np.asarray(Image.open(file)).mean((0, 1))) for file in kept)
    assert len(means) >= 3
    for found in means:
        assert any(found == of_jpeg(wanted) for wanted in shown)
    stored = queries.get_job(one_world.database, job)
    export = Export(
        stored, ExportOptions("overlays"), one_world.database, one_world.settings, one_world.bucket
    )
    write_export(export, tmp_path / "overlays")
    red, _, blue = np.asarray(Image.open(tmp_path / "overlays" / "a.npy.png")).mean((0, 1))
    assert red > blue, "half of it is the photograph, whose fifth channel is red and brighter than the first"
    first = json.loads((tmp_path / "overlays" / "overlays.jsonl").read_text().splitlines()[0])
    assert (first["key"], first["photograph"]) == ("a.npy", True)


def test_a_stack_is_uploaded_and_masks_of_stacks_are_imported(
    one_world: World, worker: WorkerServices
) -> None:
    data = npy(stack(4))
    wanted = np.round(255 * (stack(4)[..., [4, 2, 0]] / 4000)).astype(np.uint8)
    form = {"model": "bands", "preset": "tuned", "overrides": '{"steps_class": 16}'}
    files = [("images", ("a.npy", data, "application/octet-stream"))]
    uploaded = submitted(one_world.call("POST", "/v1/uploads", "submit", files=files, data=form))
    photograph = (one_world.photographs / one_world.names[0]).read_bytes()
    for wrong in (photograph, npy(stack(4)[..., :4])):
        answer = one_world.call("POST", "/v1/uploads", files=[("images", ("a.npy", wrong))], data=form)
        assert answer.status_code == 422
        assert "the model takes 5" in answer.json()["detail"]
    run(one_world, worker)
    masks_are_those_of(one_world, worker, uploaded, [(stack(4) / 4000).astype(np.float32)], 1e-6)
    assert picture(one_world, f"/v1/jobs/{uploaded}/results/0/photo.jpg").mean((0, 1)) == of_jpeg(wanted)

    folder = one_world.photographs.parent / "labelled"
    folder.mkdir(exist_ok=True)
    (folder / "a.npy").write_bytes(data)
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("key", "label"), ("a.npy", 0)])
    mask = np.zeros((1, 12, 16), np.float32)
    mask[0, 3:6, 4:8] = 1
    body = {"dataset": str(folder / "list.csv"), "method": "drawn", "model": "bands"}
    sent = one_world.call("POST", "/v1/imports", "submit", files={"masks": ("m.npy", npy(mask))}, data=body)
    assert sent.status_code in (201, 202), sent.text
    claim = ledger.claim_work(one_world.database, "w", EXPLAIN_QUEUE, 60.0, kinds=sorted(HANDLERS))
    assert isinstance(claim, ControlClaim)
    assert perform_task(worker, claim) == "1 of 1 images have a mask"
    imported = one_world.call("GET", f"/v1/imports/{sent.json()['id']}").json()["job_id"]
    (row,) = results(one_world, imported)
    assert row.status is ImageStatus.OK, row.error
    assert row.metrics["deletion"] > 0
    address = f"/v1/jobs/{imported}/results/0"
    assert picture(one_world, f"{address}/photo.jpg").mean((0, 1)) == of_jpeg(wanted)
    drawn = picture(one_world, f"{address}/mask.png")[..., 0]
    assert (drawn[12:24, 16:32].mean(), drawn[:6].max()) == (pytest.approx(255, abs=60), 0)

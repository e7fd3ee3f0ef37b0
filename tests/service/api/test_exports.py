"""Exports: each format is opened by the library that reads it, or checked against what its reader expects."""

import csv
import io
import json
import threading
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import httpx
import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO  # type: ignore[import-untyped]

from gfi.cli.export import FORMATS
from gfi.client import ApiError, Client
from gfi.client import exports as client_exports
from gfi.domain.states import ControlKind
from gfi.exports import formats
from gfi.exports.errors import ExportError
from gfi.exports.export import Export, ExportOptions
from gfi.exports.write import write_export
from gfi.jobs import exports
from gfi.jobs.task_run import Interrupted
from gfi.store import ledger, queries
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.service.api.conftest import World


@pytest.fixture
def job(one_world: World) -> str:
    return one_world.explained(name="=a job", top=2)


def export(world: World, job: str, output: str, **options: Any) -> Export:
    given = ExportOptions(output, **options)
    return Export(queries.get_job(world.database, job), given, world.database, world.settings, world.bucket)


def download(world: World, job: str, output: str, scope: str = "read", **params: Any) -> Any:
    return world.call("GET", f"/v1/jobs/{job}/export", scope, params={"format": output, **params})


def archive(answer: Any) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.text
    return zipfile.ZipFile(io.BytesIO(answer.content))


def masks(world: World, job: str) -> list[Any]:
    return [row for row in queries.iterate_results(world.database, job) if row.has_mask]


def test_tables_hold_every_result_with_names_and_columns(one_world: World, job: str, tmp_path: Path) -> None:
    rows = list(queries.iterate_results(one_world.database, job))
    lines = [json.loads(line) for line in download(one_world, job, "jsonl").text.splitlines()]
    assert [(line["key"], line["target_rank"]) for line in lines] == [(r.key, r.target_rank) for r in rows]
    assert lines[0]["provenance"] == "computed by gfi"
    table = list(csv.DictReader(io.StringIO(download(one_world, job, "csv").text)))
    assert [row["key"] for row in table] == [row.key for row in rows]
    assert table[0]["target_name"] == "cat"
    assert table[0]["column.site"] == "A"
    answer = download(one_world, job, "parquet", view="where=site=B")
    (tmp_path / "x.parquet").write_bytes(answer.content)
    read = pq.read_table(tmp_path / "x.parquet")
    assert set(read["column.site"].to_pylist()) == {"B"}
    assert read["insertion"].to_pylist()[0] == pytest.approx(0.5001)
    assert json.loads(read.schema.metadata[b"gfi"])["job"] == job


def test_coco_is_read_by_pycocotools(one_world: World, job: str, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_bytes(download(one_world, job, "coco", threshold=0.4).content)
    coco = COCO(tmp_path / "coco.json")
    found = masks(one_world, job)
    assert len(coco.anns) == len(found)
    assert {category["name"] for category in coco.cats.values()} == {"cat", "coffee", "rocket"}
    for annotation in coco.anns.values():
        region = coco.annToMask(annotation).astype(bool)
        down, across = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        left, top, width, height = annotation["bbox"]
        assert (left, left + width) == (across[0], across[-1] + 1)
        assert (top, top + height) == (down[0], down[-1] + 1)
        assert annotation["area"] == region.sum()
    assert coco.imgs[0]["file_name"] == found[0].key


def test_virelay_finds_its_files(one_world: World, job: str, tmp_path: Path) -> None:
    with archive(download(one_world, job, "virelay")) as files:
        files.extractall(tmp_path)
    project = json.loads((tmp_path / "project.yaml").read_text())["project"]  # YAML 1.2 contains JSON
    labels = json.loads((tmp_path / project["label_map"]).read_text())
    assert [label["name"] for label in labels] == ["cat", "coffee", "rocket"]
    first = [row for row in masks(one_world, job) if row.target_rank == 0]
    with h5py.File(tmp_path / project["dataset"]["path"]) as data:
        assert data["data"].shape == (len(first), 3, 64, 64)
        assert data["data"][0].std() > 10  # the photograph, and not black
        assert data["label"].dtype == np.uint16
    with h5py.File(tmp_path / project["attributions"]["sources"][0]) as attributions:
        assert attributions["attribution"].shape == (len(first), 1, 64, 64)
        assert attributions["prediction"].shape == (len(first), 3)
        assert attributions["index"][:].tolist() == list(range(len(first)))
        assert attributions["label"][:].tolist() == [row.target for row in first]


def test_fiftyone_finds_its_documents_and_heat_maps(one_world: World, job: str) -> None:
    with archive(download(one_world, job, "fiftyone", images="/data/")) as files:
        samples = json.loads(files.read("samples.json"))["samples"]
        document = json.loads(files.read("metadata.json"))
        names = set(files.namelist())
        heat_map = np.asarray(Image.open(io.BytesIO(files.read(samples[0]["mask"]["map_path"]))))
    assert len(samples) == len(one_world.names)
    fields = {field["db_field"] for field in document["sample_fields"]}
    given = {name for sample in samples for name in sample} - {"_media_type", "_rand"}
    assert given <= fields
    assert samples[0]["filepath"] == f"/data/{samples[0]['key']}"
    with archive(download(one_world, job, "fiftyone")) as files:
        here = json.loads(files.read("samples.json"))["samples"][0]
    assert Path(here["filepath"]).is_file()
    assert samples[0]["target"]["label"] == "cat"
    assert samples[-1]["mask"] is None
    assert all(sample["mask_1"]["map_path"] in names for sample in samples[:-1])
    assert heat_map.shape == masks_size(one_world, job)
    assert len({sample["_id"]["$oid"] for sample in samples}) == len(samples)


def masks_size(world: World, job: str) -> tuple[int, int]:
    part = one_item(world, job)
    assert part.size is not None
    return part.size


def one_item(world: World, job: str) -> Any:
    return next(export(world, job, "coco").items("masks", None, 1))[0]


def test_cvat_gets_regions_boxes_and_photographs(one_world: World, job: str) -> None:
    with archive(download(one_world, job, "cvat", photographs=True, view="rows=0-1")) as files:
        tree = ET.fromstring(files.read("annotations.xml"))
        names = files.namelist()
        sizes = {
            name: Image.open(io.BytesIO(files.read(name))).size
            for name in names
            if name.startswith("images/")
        }
    images = tree.findall("image")
    assert [image.get("id") for image in images] == ["0", "1"]
    for image in images:
        width, height = int(image.attrib["width"]), int(image.attrib["height"])
        assert sizes[f"images/{image.get('name')}"] == (width, height)
        for mask, box in zip(image.findall("mask"), image.findall("box"), strict=True):
            lengths = [int(length) for length in mask.attrib["rle"].split(",")]
            assert sum(lengths) == int(mask.attrib["width"]) * int(mask.attrib["height"])
            assert mask.get("left") == box.get("xtl")
            assert int(box.attrib["xbr"]) == int(mask.attrib["left"]) + int(mask.attrib["width"])
    labels = {label.findtext("name") for label in tree.iter("label")}
    assert {mask.get("label") for mask in tree.iter("mask")} == labels
    assert "computed by gfi" in (tree.findtext("meta/task/name") or "")


def test_label_studio_gets_tasks_with_predictions(one_world: World, job: str) -> None:
    with archive(download(one_world, job, "label-studio", images="/data/local-files/?d=")) as files:
        tasks = json.loads(files.read("tasks.json"))
        labelling = ET.fromstring(files.read("labelling.xml"))
    assert tasks[0]["data"]["image"] == f"/data/local-files/?d={one_world.names[0]}"
    shapes = tasks[0]["predictions"][0]["result"]
    assert [shape["type"] for shape in shapes] == ["brushlabels", "rectanglelabels"] * 2
    tags = {element.get("name"): element.tag for element in labelling}
    assert all(tags[shape["from_name"]].lower() == shape["type"] for shape in shapes)
    assert all(0 <= shapes[1]["value"][side] <= 100 for side in ("x", "y", "width", "height"))
    assert "predictions" not in tasks[-1]


def test_overlays_mirror_the_dataset(one_world: World, job: str) -> None:
    with archive(download(one_world, job, "overlays")) as files:
        described = [json.loads(line) for line in files.read("overlays.jsonl").splitlines()]
        assert set(files.namelist()) == {"overlays.jsonl", *(entry["file"] for entry in described)}
        picture = Image.open(io.BytesIO(files.read(f"{one_world.names[0]}.png")))
    assert picture.mode == "RGB"
    assert f"{one_world.names[0]}.1.png" in {entry["file"] for entry in described}
    assert all(entry["photograph"] for entry in described)


def test_the_command_knows_every_format() -> None:
    assert set(FORMATS) == set(formats.FORMATS)
    assert {name for name, made in formats.FORMATS.items() if made.archive} == set(client_exports._ARCHIVES)
    assert {
        name: made.ending for name, made in formats.FORMATS.items() if not made.archive
    } == client_exports._ENDINGS


def test_the_document_says_what_each_format_is(one_world: World, job: str) -> None:
    paths = one_world.call("GET", "/v1/openapi.json").json()["paths"]
    documented = paths["/v1/jobs/{job_id}/export"]["get"]["responses"]["200"]["content"]
    for output in FORMATS:
        answer = download(one_world, job, output)
        schema = documented[answer.headers["content-type"].partition(";")[0]]["schema"]
        if answer.headers["content-type"].startswith("application/json"):
            jsonschema.validate(answer.json(), schema)
        else:
            assert schema["format"] == "binary", output
    json_answers = {
        path: answer["content"]["application/json"]["schema"]
        for path, operations in paths.items()
        for operation in operations.values()
        for answer in operation["responses"].values()
        if "application/json" in answer.get("content", {})
    }
    assert not [path for path, schema in json_answers.items() if schema.get("format") == "binary"]


def test_what_cannot_be_exported_says_why(one_world: World, job: str, tmp_path: Path) -> None:
    assert download(one_world, job, "csv", view="colour=red").status_code == 422
    assert download(one_world, job, "csv", view="no view of this name").status_code == 404
    assert download(one_world, job, "svg").status_code == 422
    assert download(one_world, "none", "csv").status_code == 404
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ExportError, match="is not empty"):
        write_export(export(one_world, job, "overlays"), tmp_path / "full")
    with pytest.raises(ExportError, match="is a folder"):
        write_export(export(one_world, job, "csv"), tmp_path / "full")
    assert download(one_world, job, "virelay", view="status=error").status_code == 422
    empty = export(one_world, job, "virelay", view="status=error")
    with pytest.raises(ExportError, match="has no mask"):
        write_export(empty, tmp_path / "empty.zip")


def test_a_missing_library_is_named_with_its_extra(
    one_world: World, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gfi.exports.formats.importlib.util.find_spec", lambda name: None)
    answer = download(one_world, job, "virelay")
    assert answer.status_code == 422
    assert 'pip install "gfi[hdf5]"' in answer.json()["detail"]


def test_an_interrupted_export_goes_on_and_gives_the_same(
    one_world: World, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_export(export(one_world, job, "csv"), tmp_path / "whole.csv")
    small = {"csv": replace_at_once("csv", 3)}
    monkeypatch.setattr("gfi.exports.formats.FORMATS", small)
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_export(export(one_world, job, "csv"), tmp_path / "again.csv", stop)
    assert not (tmp_path / "again.csv").exists()
    states: list[Any] = []
    again = write_export(export(one_world, job, "csv"), tmp_path / "again.csv", progress=states.append)
    assert states[0].pieces == 3
    assert again.results == whole.results
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def replace_at_once(name: str, at_once: int) -> Any:
    return replace(formats.format_named(name), at_once=at_once)


class Worker:
    """A control worker, reduced to one task."""

    def __init__(self, world: World) -> None:
        self.services = ControlServices(world.settings, world.database, world.bucket)

    def work(self) -> str:
        while True:
            claim = ledger.claim_control(self.services.database, "planner", 60.0)
            assert claim is not None
            if claim.kind == ControlKind.EXPORT:
                return perform(self.services, claim, threading.Event())
            assert ledger.finish_control(self.services.database, claim)


def test_a_large_export_is_a_task_that_goes_on_from_its_pieces(
    one_world: World, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST_AT_ONCE", dict.fromkeys(exports.MOST_AT_ONCE, 3))
    monkeypatch.setattr("gfi.exports.formats.FORMATS", {"coco": replace_at_once("coco", 4)})
    refused = download(one_world, job, "coco")
    assert refused.status_code == 413
    assert (
        one_world.call("POST", f"/v1/jobs/{job}/exports", "read", json={"format": "coco"}).status_code == 403
    )
    asked = {"format": "coco", "view": "status=ok"}
    made = one_world.call("POST", f"/v1/jobs/{job}/exports", "submit", json=asked)
    assert made.status_code == 202, made.text
    place = made.headers["location"]
    assert one_world.call("POST", f"/v1/jobs/{job}/exports", json=asked).status_code == 200
    assert one_world.call("GET", f"{place}/file", "read").status_code == 409

    real, done = exports.BucketPieces.put, []

    def put_two(self: Any, number: int, data: bytes) -> None:
        if number == 2 and not done:
            done.append(number)
            raise Interrupted
        real(self, number, data)

    monkeypatch.setattr(exports.BucketPieces, "put", put_two)
    assert Worker(one_world).work() == "interrupted"
    assert one_world.call("GET", place).json()["done"] >= 8
    assert "results exported" in Worker(one_world).work()
    shown = one_world.call("GET", place, "read").json()
    assert shown["results"] == len(masks(one_world, job))
    file = one_world.call("GET", shown["file"], "read")
    assert len(file.json()["annotations"]) == shown["results"]
    assert len(file.content) == shown["bytes"]
    rest = one_world.call("GET", shown["file"], "read", headers={"Range": "bytes=10-"})
    assert rest.status_code == 206
    assert rest.content == file.content[10:]
    left = [entry.key for entry in one_world.bucket.list(f"jobs/{job}/exports/")]
    assert left == [f"jobs/{job}/exports/{shown['id']}.json"]
    assert [entry["id"] for entry in one_world.call("GET", f"/v1/jobs/{job}/exports").json()] == [shown["id"]]
    assert one_world.call("DELETE", f"/v1/jobs/{job}/data").status_code in (200, 204)
    assert not list(one_world.bucket.list(f"jobs/{job}/exports/"))


def test_the_client_writes_files_and_folders(one_world: World, job: str, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        found = one_world.client.request(request.method, str(request.url), headers=dict(request.headers))
        return httpx.Response(found.status_code, content=found.content)

    client = Client("http://testserver", one_world.tokens["read"], transport=httpx.MockTransport(answer))
    file = client.job(job).export("csv", tmp_path / "a" / "x.csv", view="rows=0")
    assert file.read_text().count("\n") == 3
    folder = client.job(job).export("overlays", tmp_path / "pictures", view="rows=0")
    assert {path.name for path in folder.rglob("*.png")} == {
        f"{one_world.names[0]}.png",
        f"{one_world.names[0]}.1.png",
    }
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == []
    with pytest.raises(ApiError, match="is not empty"):
        client.job(job).export("overlays", folder)


class _Broken(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b"01234"
        raise httpx.ReadError("gone")


def test_a_download_that_breaks_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gfi.client.connection.time.sleep", lambda seconds: None)
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("range"))
        if len(asked) == 1:
            return httpx.Response(200, stream=_Broken())
        return httpx.Response(206, content=b"56789")

    client = Client("http://testserver", "t", transport=httpx.MockTransport(answer))
    client.download("/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"0123456789"
    assert asked == [None, "bytes=5-"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]

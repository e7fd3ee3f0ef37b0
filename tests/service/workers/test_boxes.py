"""Boxes from the file to the metric: the right value, or no value and the reason, without an effect on other rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gfi.cli.register_model import register
from gfi.datasets.annotations.settle import SCALED, SWAPPED_SIZE
from gfi.jobs.report import write_report
from gfi.store import queries
from gfi.store.part_cache import PartCache
from tests.service.workers.conftest import explain, submit
from workers.services import WorkerServices

NET = """
import torch
from torch import nn


class Colours(nn.Module):
    '''Class 0 is the mean of red, 1 of green, 2 of blue.'''

    def __init__(self):
        super().__init__()
        self.first, self.act = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()
        self.second, self.last = nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        self.head = nn.Linear(16, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            for channel in range(3):
                self.first.weight[channel, channel, 1, 1] = 1
                self.second.weight[channel, channel, 1, 1] = 1
                self.head.weight[channel, channel] = 8

    def forward(self, x):
        return self.head(self.last(self.second(self.act(self.first(x)))).mean((2, 3)))


def build():
    return Colours()
"""
MODEL = """
classes = ["red", "green", "blue"]
architecture = "file:colours.py:build"
weights = "seed:0"
[input]
size = 64
mean = 0.5
std = 0.5
"""
OWN = {"left": 40, "top": 8, "right": 80, "bottom": 40}
"""The red rectangle on a photograph of 96×64."""
WHOLE = {"left": 0, "top": 0, "right": 96, "bottom": 64}
RIGHT = {
    "own": [{**OWN, "label": "red"}],
    "unlabelled": [[40, 8, 80, 40]],
    "beside a class that the model lacks": [{**OWN, "label": "red"}, {**WHOLE, "label": "person"}],
    "swapped": [{"left": 80, "top": 40, "right": 40, "bottom": 8, "label": "red"}],
    "fractions": [{"left": 40 / 96, "top": 8 / 64, "right": 80 / 96, "bottom": 40 / 64, "label": "red"}],
    "polygon": [{"polygon": [[40, 8], [80, 8], [80, 40], [40, 40]], "label": "red"}],
}  # fmt: skip
NOT_USABLE = {
    "outside": [{"left": 100, "top": 100, "right": 120, "bottom": 120, "label": "red"}],
    "of a larger original": [{"left": 40, "top": 8, "right": 800, "bottom": 400, "label": "red"}],
    "no area": [{**OWN, "right": 40, "label": "red"}],
    "not numbers": [{**OWN, "right": "wide", "label": "red"}],
    "two readings": [[0, 0, 1, 1]],
}


@pytest.fixture
def place(services: WorkerServices) -> Path:
    """The folder of datasets, with the model of three colours registered."""
    models = services.settings.models_dir
    (models / "colours.py").write_text(NET)
    (models / "colours.toml").write_text(MODEL)
    register(services.database, services.settings, "colours")
    return services.settings.dataset_roots[0]


def photograph(path: Path) -> None:
    """A red rectangle on grey, 96×64."""
    pixels = np.full((64, 96, 3), 90, np.uint8)
    pixels[8:40, 40:80] = (255, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def measured(services: WorkerServices, dataset: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """The job, and its results by the name of the photograph."""
    job = submit(
        services, dataset=dataset, model="colours", target="auto", metrics=("energy_in_box", "pointing", "iou_region"),
        overrides={"steps_class": 8},
    )  # fmt: skip
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=50)
    return job, {Path(row.key).stem: row for row in rows}


def test_every_box_of_a_manifest_has_its_right_value_or_none(
    services: WorkerServices, place: Path, tmp_path: Path
) -> None:
    lines = []
    for name, boxes in {**RIGHT, **NOT_USABLE}.items():
        photograph(place / "boxes" / f"{name}.png")
        lines.append(json.dumps({"key": f"{name}.png", "label": "red", "boxes": boxes}))
    (place / "boxes" / "list.jsonl").write_text("\n".join(lines))
    job, rows = measured(services, str(place / "boxes" / "list.jsonl"))
    right = rows["own"].number("energy_in_box")
    assert 0.5 < right < 0.99
    assert rows["own"].error is None
    for name in RIGHT:
        assert rows[name].number("energy_in_box") == pytest.approx(right, abs=1e-6), name
        assert rows[name].status == "ok"
        assert (rows[name].number("iou_region") is not None) == (name == "polygon"), "only it has a region"
    for name in NOT_USABLE:
        assert rows[name].status == "ok"
        assert (rows[name].number("energy_in_box"), rows[name].number("pointing_hit")) == (None, None), name
        assert rows[name].error.startswith("no box metric: ")
        assert rows[name].error_class == "boxes_unusable"
    (note,) = queries.failures(services.database, job)
    assert (note["status"], note["error_class"], note["images"]) == ("ok", "boxes_unusable", len(NOT_USABLE))
    warnings = (queries.get_job(services.database, job).metadata or {})["warnings"]
    assert any(line.startswith("3 of 11 images: their boxes cannot be used") for line in warnings)
    assert any("fractions.png" in line for line in warnings)
    page = write_report(
        services.database, services.settings, services.bucket, job, tmp_path / "report"
    ).read_text()
    assert "5 images: no box metric" in page
    assert "their boxes cannot be used" in page


def test_the_size_in_an_annotation_is_held_against_the_photograph(
    services: WorkerServices, place: Path
) -> None:
    voc = place / "VOC"
    (voc / "Annotations").mkdir(parents=True)
    sizes = {"right": (96, 64, 1), "swapped": (64, 96, 1), "larger": (960, 640, 10), "cropped": (500, 500, 1)}
    for name, (width, height, scale) in sizes.items():
        photograph(voc / "JPEGImages" / f"{name}.png")
        sides = {"xmin": 40 * scale + 1, "ymin": 8 * scale + 1, "xmax": 80 * scale, "ymax": 40 * scale}
        box = "".join(f"<{side}>{value}</{side}>" for side, value in sides.items())
        (voc / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><size><width>{width}</width><height>{height}</height></size>"
            f"<object><name>red</name><bndbox>{box}</bndbox></object></annotation>"
        )
    job, rows = measured(services, str(voc))
    right = rows["right"].number("energy_in_box")
    assert 0.5 < right < 0.99
    part_cache = PartCache(services.database, services.bucket)
    for name, repair in (("swapped", SWAPPED_SIZE), ("larger", SCALED)):
        assert rows[name].number("energy_in_box") == pytest.approx(right, abs=1e-6)
        assert rows[name].error_class == "boxes_repaired"
        explained = part_cache.explanation(rows[name])
        assert explained is not None
        assert explained.result.repairs == (repair,)
    assert rows["cropped"].number("energy_in_box") is None
    assert "500×500" in rows["cropped"].error
    counted = {note["error_class"]: note["images"] for note in queries.failures(services.database, job)}
    assert counted == {"boxes_repaired": 2, "boxes_unusable": 1}


def test_a_job_that_needs_no_boxes_says_nothing_of_them(services: WorkerServices, place: Path) -> None:
    photograph(place / "boxes" / "outside.png")
    (place / "boxes" / "list.jsonl").write_text(
        json.dumps({"key": "outside.png", "label": "red", "boxes": NOT_USABLE["outside"]})
    )
    job = submit(
        services, dataset=str(place / "boxes" / "list.jsonl"), model="colours", overrides={"steps_class": 8}
    )
    assert explain(services) == "done"
    (row,) = queries.list_results(services.database, job, limit=50)
    assert (row.error, row.error_class) == (None, None)
    assert queries.failures(services.database, job) == []


def test_what_a_folder_leaves_out_is_in_the_jobs_metadata(services: WorkerServices, place: Path) -> None:
    folder = place / "mixed"
    for number in range(6):
        photograph(folder / f"{number}.png")
    for name in ("6.jp2", "7.jp2"):
        (folder / name).write_bytes(b"x")
    job = submit(services, dataset=str(folder), model="colours", overrides={"steps_class": 8})
    metadata = queries.get_job(services.database, job).metadata or {}
    assert metadata["skipped"] == {"JPEG 2000": 2}
    (line,) = metadata["warnings"]
    assert line.startswith("6 of 8 files are images this job can read: 2 JPEG 2000")

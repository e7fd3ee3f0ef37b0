"""The images of a shard: a fault of one affects only its own row, and each is explained with the options of the job."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.store import queries
from gfi.store.part_cache import PartCache
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from workers import shard_run
from workers.measuring import Measurer
from workers.photographs import photograph_reader
from workers.services import WorkerServices

BAD = 3


def outcome(services: WorkerServices, job: str) -> tuple[dict[str, Any], list[str]]:
    """The result of the bad image, and the statuses of the others."""
    rows = queries.list_results(services.database, job, limit=50)
    assert [row.row for row in rows] == list(range(PHOTOGRAPHS))
    return rows[BAD], [row.status for row in rows if row.row != BAD]


def failing(real: Callable[..., Any], bad: Callable[..., bool], error: Exception) -> Callable[..., Any]:
    """`real`, but it raises for the bad image."""

    def call(*args: Any, **options: Any) -> Any:
        if bad(*args):
            raise error
        return real(*args, **options)

    return call


def test_a_picture_of_nine_million_by_one_pixels_fails_alone(services: WorkerServices) -> None:
    folder = services.settings.dataset_roots[0] / "photographs"
    wide = sorted(folder.iterdir())[BAD]
    Image.new("RGB", (9_000_000, 1)).save(wide, "PNG")
    job = submit(services, preset="released", overrides={"steps_inversion": 1, "steps_class": 2})
    assert explain(services) == "done"
    bad, others = outcome(services, job)
    assert (bad.status, bad.error_class) == ("error", "preparation")
    assert "less extreme proportions" in bad.error
    assert "error" not in others


@pytest.mark.parametrize("error", [MemoryError(), ValueError("no such pixel")])
def test_an_exception_in_preparation_is_the_images_own(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    prepared: list[object] = []

    def fourth(*_: object) -> bool:
        prepared.append(None)
        return len(prepared) == 4

    monkeypatch.setattr(Classifier, "prepare", failing(Classifier.prepare, fourth, error))
    job = submit(services)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=50)
    (bad,) = [row for row in rows if row.status == "error"]
    assert bad.error_class == "preparation"
    assert "it could not be prepared for the network" in bad.error
    assert len(rows) == PHOTOGRAPHS


def test_an_exception_in_a_metric_is_the_images_own(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad_row = failing(Measurer.metrics, lambda _, entry, *__: entry.row == BAD, ValueError("no mask"))
    monkeypatch.setattr(Measurer, "metrics", bad_row)
    job = submit(services, metrics=("entropy",))
    assert explain(services) == "done"
    bad, others = outcome(services, job)
    assert (bad.status, bad.error_class) == ("error", "metrics")
    assert bad.error == "it could not be measured: no mask"
    assert "error" not in others


def test_an_exception_in_the_pictures_is_the_images_own(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = failing(shard_run.draw_pictures, lambda _, row, *__: row.row == BAD, ValueError("no colour"))
    monkeypatch.setattr(shard_run, "draw_pictures", draw)
    job = submit(services, save=("png",))
    assert explain(services) == "done"
    bad, others = outcome(services, job)
    assert (bad.status, bad.error_class) == ("error", "pictures")
    assert "error" not in others
    names = [entry.key for entry in services.bucket.list(f"jobs/{job}/images/")]
    assert len(names) == PHOTOGRAPHS - 1


def test_of_several_classes_the_one_that_could_not_be_measured_is_the_error(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def second_class(_: object, entry: Any, *__: object) -> bool:
        measured.append(entry.row)
        return entry.row == BAD and measured.count(BAD) == 2

    monkeypatch.setattr(Measurer, "metrics", failing(Measurer.metrics, second_class, ValueError("no mask")))
    job = submit(services, top=2)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=50)
    assert len(rows) == 2 * PHOTOGRAPHS
    (bad,) = [row for row in rows if row.status == "error"]
    assert (bad.row, bad.error_class) == (BAD, "metrics")


def test_a_job_asks_every_image_why_its_class_rather_than_another(services: WorkerServices) -> None:
    job = submit(services, rather_than=2)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=50)
    assert [row.row for row in rows] == list(range(PHOTOGRAPHS))
    asked = [row for row in rows if row.prediction != 2]
    assert asked
    for row in rows:
        # An image that is predicted as B cannot be contrasted with B.
        assert (row.status == "constant") == (row.prediction == 2)

    # The masks are those of the engine for this foil.
    record = queries.get_job(services.database, job)
    engine: Engine = services.engines.get(record.config, record.profile)
    manifest = services.manifest(record.manifest_key, record.manifest_digest)
    read = photograph_reader(services.source(record.config.dataset.spec), engine, overlays=False)
    for row in asked[:2]:
        (entry,) = manifest.rows(row.row, row.row + 1)
        prepared = read(entry).prepared
        assert prepared is not None
        (with_foil,) = engine.explain_many([Item(0, prepared, None, 2)])
        (without,) = engine.explain_many([Item(0, prepared, None)])
        found = queries.get_result(services.database, job, row.row)
        stored = PartCache(services.database, services.bucket).explanation(found).result
        assert stored.grid is not None
        assert np.array_equal(stored.grid, with_foil.grid)
        assert not np.array_equal(stored.grid, without.grid)
        assert found.probability == with_foil.probability

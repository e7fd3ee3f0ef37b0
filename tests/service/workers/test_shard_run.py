"""The images of a shard: a fault of one affects only its own row, and each is explained with the options of the job."""

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from celery import Celery
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image

from gfi.domain.methods import CONTROLS
from gfi.domain.pixel_properties import PROPERTIES
from gfi.jobs import report
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.store import queries, tracing
from gfi.store.part_cache import PartCache
from scheduler.loop import Scheduler
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from workers import shard_run
from workers.loaded_engines import LoadedEngines
from workers.measuring import Measurer
from workers.photographs import photograph_reader
from workers.services import WorkerServices
from workers.shard_run import ShardRun

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


def test_with_a_slow_bucket_few_photographs_wait_for_their_pictures(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All photographs of a shard waited in memory, some megabytes each."""
    monkeypatch.setattr(shard_run, "WAITING_PICTURES", 2)
    monkeypatch.setattr(shard_run, "PICTURE_THREADS", 1)
    save, uploaded, waiting = ShardRun._save_pictures, [], []

    def slow(self: ShardRun, row: Any, photograph: Any) -> Any:
        time.sleep(0.05)
        saved = save(self, row, photograph)
        uploaded.append(row.row)
        return saved

    keep = ShardRun._keep

    def kept(self: ShardRun, row: Any) -> None:
        waiting.append(len(self._finished) - len(uploaded))
        keep(self, row)

    monkeypatch.setattr(ShardRun, "_save_pictures", slow)
    monkeypatch.setattr(ShardRun, "_keep", kept)
    submit(services, preset="released", overrides={"steps_inversion": 1, "steps_class": 2}, save=("overlay",))
    assert explain(services) == "done"
    assert sorted(uploaded) == list(range(PHOTOGRAPHS))
    assert max(waiting) <= 3


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


def test_a_job_of_a_peer_is_stored_like_any_other_and_has_the_bits_of_its_engine(
    services: WorkerServices,
) -> None:
    job = submit(
        services,
        method="rise",
        preset=None,
        overrides={"rise_masks": 4, "map_cells": 8},
        metrics=("entropy",),
    )
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=50)
    assert len(rows) == PHOTOGRAPHS
    assert {row.iterations for row in rows} == {4}
    record = queries.get_job(services.database, job)
    engine = services.engines.get(record.config, record.profile)
    assert type(engine).__name__ == "PeerEngine"
    manifest = services.manifest(record.manifest_key, record.manifest_digest)
    read = photograph_reader(services.source(record.config.dataset.spec), engine, overlays=False)
    (entry,) = manifest.rows(2, 3)
    prepared = read(entry).prepared
    assert prepared is not None
    (alone,) = engine.explain_many([Item(0, prepared)])
    found = queries.get_result(services.database, job, 2)
    stored = PartCache(services.database, services.bucket).explanation(found)
    assert stored.result.grid is not None
    assert np.array_equal(stored.result.grid, alone.grid)
    assert (found.kept, found.status) == (alone.kept, alone.status)


def test_a_job_with_metrics_has_controls_on_a_sample_beside_its_scores(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_run, "sampled", lambda digest, row, images: row in (0, 2))
    answers = iter(range(1000))  # a class for each image that is tried for a grid
    monkeypatch.setattr(Engine, "probabilities_of", lambda *_: torch.eye(1000)[next(answers)])
    job = submit(services, metrics=("deletion", "grid_pointing"))
    assert explain(services) == "done"
    rows = {row.row: row for row in queries.list_results(services.database, job, limit=50)}
    assert len(rows) == PHOTOGRAPHS
    ok = [row for row, one in rows.items() if one.status == "ok"]
    sums = queries.job_sums(services.database, job)
    wanted = len({0, 2} & set(ok))
    assert wanted
    for control in CONTROLS:
        number = sums.numbers(control)["deletion"]
        assert number.count == wanted
        found = queries.get_result(services.database, job, ok[0], method=control)
        assert (found.target, found.probability) == (rows[ok[0]].target, rows[ok[0]].probability)
        stored = PartCache(services.database, services.bucket).explanation(found).result
        assert stored.grid is not None
        assert stored.grid.max() > 0
    assert sums.statuses() == {
        status: n for status, n in queries.job_progress(services.database, job).by_status.items() if n
    }
    means = {mean.name: mean for mean in report.summary(services.database, job).means}
    assert set(means["deletion"].controls) == set(means["grid_pointing"].controls) == set(CONTROLS)
    assert means["deletion"].count == len(ok)
    assert means["grid_pointing"].count == wanted, "only sampled images are put into grids"


def test_an_error_in_the_controls_leaves_them_out_and_keeps_the_images(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_run, "sampled", lambda *_: True)
    monkeypatch.setattr(
        LoadedEngines, "randomised", failing(LoadedEngines.randomised, lambda *_: True, ValueError("no"))
    )
    job = submit(services, metrics=("entropy",))
    assert explain(services) == "done"
    assert len(queries.list_results(services.database, job, limit=50)) == PHOTOGRAPHS


def test_a_part_holds_what_was_measured_of_the_photographs_and_its_features(services: WorkerServices) -> None:
    job = submit(services, top=2)
    assert explain(services) == "done"
    (record,) = queries.iterate_parts(services.database, job)
    part = PartCache(services.database, services.bucket).part(record.id)
    assert part.header.schema_version == 2
    assert part.header.features is not None
    assert part.header.features["values"] == 256
    for row in part.results():
        if row.target_rank:
            assert (row.pixels, row.thumbnail, row.features) == ({}, None, None)
            continue
        assert set(row.pixels) == set(PROPERTIES), "the samples are JPEG files"
        assert row.original_size is not None
        assert row.pixels["aspect"] == pytest.approx(row.original_size[1] / row.original_size[0])
        assert row.thumbnail is not None
        assert Image.open(io.BytesIO(row.thumbnail)).size[0] <= 64
        assert row.features is not None
        assert row.features.shape == (256,)
        assert np.ptp(row.features) > 0


def test_a_job_may_ask_for_no_thumbnails_and_other_features(services: WorkerServices) -> None:
    widths = {}
    for kept in ("none", "full"):
        job = submit(services, thumbnails=False, features=kept)
        assert explain(services) == "done"
        (record,) = queries.iterate_parts(services.database, job)
        part = PartCache(services.database, services.bucket).part(record.id)
        rows = part.results()
        assert {row.thumbnail for row in rows} == {None}
        widths[kept] = {None if row.features is None else len(row.features) for row in rows}
        assert (part.header.features is None) == (kept == "none")
    assert widths["none"] == {None}
    assert widths["full"] == {part.header.features["width"]}


def test_a_job_is_one_trace_from_the_request_to_its_commits(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = InMemorySpanExporter()
    tracer = tracing.tracer_to(SimpleSpanProcessor(recorded))
    monkeypatch.setattr(tracing, "_tracer", lambda: tracer)
    monkeypatch.setattr("scheduler.loop.publish", lambda *_: True)
    caller = "0af7651916cd43dd8448eb211c80319c"
    with tracing.called_by({"traceparent": f"00-{caller}-b7ad6b7169203331-01"}):
        job = submit(services, preset="released", overrides={"steps_inversion": 1, "steps_class": 2})
    settings = services.settings.model_copy(update={"sweep_every_s": 0.0})
    Scheduler(settings, services.database, Celery()).tick()
    assert explain(services) == "done"
    spans = recorded.get_finished_spans()
    first, *others = sorted(spans, key=lambda span: span.start_time or 0)
    names = ["submit", "claim", "plan", "hint", "claim", "shard", "upload", "commit"]
    assert [span.name for span in (first, *others)] == names
    assert {span.context.trace_id for span in spans} == {tracing.ids_of(job)[0]}
    assert first.parent is None
    assert f"{first.links[0].context.trace_id:032x}" == caller
    inside = {span.name: span for span in others}
    root, shard = first.context.span_id, inside["shard"].context.span_id
    below = [shard if span.name in ("upload", "commit") else root for span in others]
    assert [span.parent and span.parent.span_id for span in others] == below
    assert inside["shard"].attributes == {
        "gfi.job": job,
        "gfi.shard": f"{job}-0",
        "gfi.images": PHOTOGRAPHS,
        "gfi.outcome": "done",
    }

"""Every image is counted; only explained images enter a mean."""

import math

import pytest

from gfi.domain.result import Result
from gfi.domain.statuses import STATUS_WORDS, ImageStatus
from gfi.domain.sums import Sums
from gfi.report.summary import Mean, Summary, summarise, summary_of


def row(status="ok", **values):
    return Result(0, "a.jpg", status, **{"target": 1, **values})


def mean_of(summary: Summary, name: str) -> Mean | None:
    return next((mean for mean in summary.means if mean.name == name), None)


def test_every_status_has_words():
    assert set(STATUS_WORDS) == {str(status) for status in ImageStatus}


def test_only_explained_images_enter_a_mean():
    summary = summarise([row(kept=0.4), row(kept=0.8), row("empty", kept=0.0), row("error", kept=None)])
    assert summary.total == 4
    assert dict(summary.counts) == {"ok": 2, "empty": 1, "error": 1}
    assert summary.ok == 2
    assert mean_of(summary, "kept").mean == pytest.approx(0.6)
    assert mean_of(summary, "kept").count == 2


def test_each_mean_counts_the_images_that_have_it():
    rows = [row(metrics={"energy_in_box": 0.5}), row(metrics={"energy_in_box": math.nan}), row()]
    mean = mean_of(summarise(rows), "energy_in_box")
    assert (mean.mean, mean.count) == (0.5, 1)
    assert mean_of(summarise(rows), "insertion") is None


def test_pointing_is_averaged_by_class_too():
    hits = [("person", 1), ("person", 1), ("person", 0), ("cat", 0)]
    summary = summarise(row(label=label, metrics={"pointing_hit": hit}) for label, hit in hits)
    mean = mean_of(summary, "pointing_hit")
    assert mean.mean == 0.5
    assert mean.class_mean == pytest.approx((2 / 3 + 0) / 2)
    assert mean.classes == 2
    assert mean_of(summarise([row(metrics={"insertion": 0.5})]), "insertion").class_mean is None


def test_classes_are_targets_where_there_are_no_labels():
    rows = [row(target=7, metrics={"pointing_hit_0": 1}), row(target=8, metrics={"pointing_hit_0": 0})]
    assert mean_of(summarise(rows), "pointing_hit_0").classes == 2


def test_statuses_come_in_reading_order_and_unknown_ones_are_counted():
    summary = summarise([row("error"), row("of a later version"), row("ok"), row("empty")])
    assert list(summary.counts) == ["ok", "empty", "error", "of a later version"]


def test_a_job_without_results_has_an_empty_summary():
    summary = summarise([])
    assert (summary.total, summary.ok, summary.means) == (0, 0, ())
    assert summary.to_json() == {"total": 0, "counts": {}, "means": []}


def test_controls_stand_beside_the_mean_and_in_no_count():
    sums = Sums()
    for method, value in (("gfi", 0.8), ("random", 0.2), ("random", 0.4), ("centred", 0.5)):
        sums.add((method, None, 1, 1, "ok"), [("insertion", value), ("probability", 0.9)])
    summary = summary_of(sums)
    assert summary.total == 1
    mean = mean_of(summary, "insertion")
    assert (mean.mean, mean.count) == (pytest.approx(0.8), 1)
    assert mean.controls == {"random": pytest.approx(0.3), "centred": pytest.approx(0.5)}
    assert (
        next(m for m in summary.to_json()["means"] if m["name"] == "insertion")["controls"] == mean.controls
    )

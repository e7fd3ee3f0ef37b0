"""The class table and the confusion of labels and predictions, from sums alone."""

import statistics

import pytest

from gfi.domain.class_index import ClassIndex
from gfi.domain.sums import Sums
from gfi.jobs.class_summary import class_summaries, confusion, mean_estimate

CLASSES = ClassIndex(["cat", "coffee", "rocket"])
ROWS = [  # label, target, prediction, status, kept
    ("Cat", 0, 0, "ok", 0.5),
    ("Cat", 1, 1, "ok", 0.7),
    ("Cat", 1, 1, "empty", None),
    ("Cat", 0, 0, "ok", 0.9),
    ("horse", 2, 2, "ok", 0.2),
    (None, 2, 2, "ok", 0.1),
    (None, None, None, "error", None),
]


def sums() -> Sums:
    made = Sums()
    for label, target, prediction, status, kept in ROWS:
        made.add(("gfi", label, target, prediction, status), [("kept", kept)])
    return Sums.unpacked(*made.packed())


def test_a_class_has_its_accuracy_coverage_and_means_with_intervals() -> None:
    cat, *others = class_summaries(sums(), CLASSES)
    assert (cat.label, cat.index, cat.images, cat.explained) == ("Cat", 0, 4, 3)
    assert cat.accuracy is not None
    assert (cat.accuracy.mean, cat.accuracy.count) == (0.5, 4)
    assert cat.coverage.mean == 0.75
    kept = cat.means["kept"]
    half = 4.302653 * statistics.stdev([0.5, 0.7, 0.9]) / 3**0.5
    assert (kept.mean, kept.low, kept.high) == pytest.approx((0.7, 0.7 - half, 0.7 + half), abs=1e-5)
    assert [(one.label, one.target, one.index) for one in others] == [
        (None, None, None),
        (None, 2, 2),
        ("horse", None, None),
    ]
    assert all(one.accuracy is None for one in others)  # no class of the model is meant
    assert others[1].means["kept"].low is None  # one image has no interval


def test_a_label_that_is_not_found_is_wrong_where_each_label_has_a_result() -> None:
    made = Sums()
    for prediction, status in [(0, "ok"), (None, "ok"), (None, "target_lost"), (None, "error")]:
        made.add(("gfi", "Cat", 0, prediction, status), [("kept", 0.5)])
    (found,), (other,) = class_summaries(made, CLASSES, each_label=True), class_summaries(made, CLASSES)
    assert found.accuracy is not None
    assert other.accuracy is not None
    assert (found.accuracy.mean, found.accuracy.count) == (pytest.approx(1 / 3), 3)
    assert other.accuracy.count == 1  # an imported result has no prediction


def test_of_sums_of_an_earlier_version_no_interval_is_invented() -> None:
    before = sums()
    for cell in before.cells.values():
        cell[3::4] = [0] * len(cell[3::4])  # their counts of squares are zero
    (cat, *_) = class_summaries(before, CLASSES)
    assert (cat.means["kept"].mean, cat.means["kept"].low) == (pytest.approx(0.7), None)
    assert mean_estimate(0.5, 9, None).high is None


def test_confusion_counts_every_image_with_label_and_prediction_wrong_ones_first() -> None:
    pairs = [(one.label, one.prediction, one.images, one.right) for one in confusion(sums(), CLASSES)]
    assert pairs == [("Cat", 1, 2, False), ("Cat", 0, 2, True), ("horse", 2, 1, None)]


def test_a_class_without_a_hit_has_an_interval_with_a_width() -> None:
    made = Sums()
    for row in range(20):
        made.add(("gfi", "Cat", 0, 0, "ok"), [("pointing_hit", 0.0), ("kept", 0.5), ("area", row / 20)])
    (cat,) = class_summaries(made, CLASSES)
    hit, kept = cat.means["pointing_hit"], cat.means["kept"]
    assert hit.low == 0
    assert hit.high == pytest.approx(0.1611, abs=1e-4)
    assert (kept.low, kept.high) == (0.5, 0.5)  # no share
    assert cat.means["area"].high - cat.means["area"].low > 0.2  # type: ignore[operator]


def test_one_step_of_each_image_is_no_share() -> None:
    made = Sums()
    for _ in range(20):
        made.add(("gfi", "Cat", 0, 0, "ok"), [("iterations", 1.0), ("area", 1.0)])
    (cat,) = class_summaries(Sums.unpacked(*made.packed()), CLASSES)
    assert (cat.means["iterations"].low, cat.means["iterations"].high) == (1, 1)
    assert cat.means["area"].low == mean_estimate(1.0, 20, 0.0).low != 1

"""Sums add and subtract exactly, in any order, and say what a direct computation says."""

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gfi.domain.sums import Sums, bin_width

NUMBERS = st.none() | st.floats(0, 1) | st.floats(-5, 300) | st.just(float("nan"))
IDENTITIES = st.tuples(
    st.sampled_from(["gfi", "rise"]),
    st.sampled_from([None, "cat", "7"]),
    st.sampled_from([None, 3, 7]),
    st.sampled_from([None, 3]),
    st.sampled_from(["ok", "ok", "error", "empty"]),
)
ROW = st.tuples(IDENTITIES, NUMBERS, NUMBERS)


def sums_of(rows):
    sums = Sums()
    for identity, kept, hit in rows:
        sums.add(identity, [("kept", kept), ("pointing_hit", hit)])
    return sums


@given(st.lists(ROW, max_size=12), st.lists(ROW, max_size=12), st.randoms())
def test_what_is_added_and_subtracted_again_leaves_nothing(before, replaced, random):
    together = [*before, *replaced]
    random.shuffle(together)
    sums = sums_of(together)
    sums -= sums_of(replaced)
    assert sums == sums_of(before)
    sums -= sums_of(before)
    assert sums == Sums()


@given(st.lists(ROW, max_size=12), st.lists(ROW, max_size=12))
def test_what_is_stored_is_read_back_and_pieces_add_up(first, second):
    sums = Sums.unpacked(*sums_of(first).packed())
    sums += Sums.unpacked(*sums_of(second).packed())
    assert sums == sums_of([*first, *second])


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.floats(0, 1)), min_size=1, max_size=20))
def test_means_variances_and_bins_are_those_of_the_numbers(rows):
    values = [value for _, value in rows]
    sums = sums_of([(("gfi", label, 4, 4, "ok"), None, value) for label, value in rows])
    number = sums.numbers()["pointing_hit"]
    assert number.count == len(rows)
    assert number.mean == pytest.approx(float(sum(map(Fraction, values)) / len(values)), abs=1e-15)
    assert number.variance == pytest.approx(statistics.pvariance(values), abs=1e-14)
    classes = {}
    for label, value in rows:
        classes.setdefault(label, []).append(value)
    assert number.classes == len(classes)
    assert number.class_mean == pytest.approx(statistics.fmean(map(statistics.fmean, classes.values())))
    histogram = sums.histogram("pointing_hit")
    assert sum(count for _, count in histogram) == len(rows)
    assert min(values) >= histogram[0][0] - 1e-9
    assert max(values) < histogram[-1][0] + bin_width("pointing_hit") + 1e-9


def test_a_number_on_the_edge_of_two_bins_is_in_the_right_one():
    rows = [(("gfi", None, 0, 0, "ok"), place * 0.02, None) for place in range(51)]
    assert [round(left / 0.02) for left, _ in sums_of(rows).histogram("kept")] == list(range(51))


def test_the_class_table_counts_every_status_and_separates_methods():
    rows = [
        (("gfi", "cat", 3, 3, "ok"), 0.5, None),
        (("gfi", "cat", 3, 3, "ok"), 0.25, None),
        (("gfi", "cat", 3, 7, "empty"), 0.125, None),
        (("gfi", None, 3, 3, "error"), None, None),
        (("rise", "cat", 3, 3, "ok"), 1.0, None),
    ]
    sums = sums_of(rows)
    table = [(r.label, r.prediction, r.status, r.images, dict(r.means)) for r in sums.class_table()]
    assert table == [
        ("cat", 3, "ok", 2, {"kept": (0.375, 2)}),
        ("cat", 7, "empty", 1, {"kept": (0.125, 1)}),
        (None, 3, "error", 1, {}),
    ]
    assert sums.statuses() == {"ok": 2, "empty": 1, "error": 1}
    cats = sums.group("label")["cat"]
    assert (cats.cell_statuses(), cats.explained_means()) == ({"ok": 2, "empty": 1}, {"kept": (0.375, 2)})

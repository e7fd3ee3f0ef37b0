"""A column that goes with a cluster is named, others are not; the tests equal scipy's."""

import numpy as np
from scipy import stats

from gfi.audit.candidates import Candidate, with_columns
from gfi.audit.cluster_columns import RIGHT, associations
from gfi.audit.places import around

DRAW = np.random.default_rng(5)
SMALLER = np.arange(60) < 20


def test_the_tests_are_those_of_mann_whitney_and_fisher() -> None:
    numbers = np.round(DRAW.normal(0, 1, 60) + 0.5 * SMALLER, 1)
    numbers[3] = np.nan
    right = (DRAW.random(60) < np.where(SMALLER, 0.4, 0.8)).astype(float)
    camera = np.where(right > 0, "A", "B").tolist()
    found = {one.name: one for one in associations(SMALLER, {"n": numbers, RIGHT: right, "camera": camera})}
    mine, others = numbers[SMALLER & np.isfinite(numbers)], numbers[~SMALLER]
    assert abs(found["n"].p - stats.mannwhitneyu(mine, others, method="asymptotic").pvalue) < 1e-9
    table = [
        [right[SMALLER].sum(), 20 - right[SMALLER].sum()],
        [right[~SMALLER].sum(), 40 - right[~SMALLER].sum()],
    ]
    assert abs(found[RIGHT].p - stats.fisher_exact(table).pvalue) < 1e-9
    assert abs(found["camera = A"].p - found[RIGHT].p) < 1e-9
    assert found["camera = A"].inside == right[SMALLER].mean()


def test_few_known_values_and_equal_ones_are_not_compared() -> None:
    few = np.where(np.arange(60) < 4, 1.0, np.nan)
    (constant,) = associations(SMALLER, {"few": few, "same": np.ones(60), "word": ["x"] * 60})
    assert (constant.name, constant.p) == ("same", 1.0)


def test_q_is_over_all_clusters_of_the_audit_and_only_small_ones_are_told() -> None:
    place = around(0.5, 0.5, 0.2)
    noise = {f"n{i}": DRAW.normal(0, 1, 60) for i in range(30)}
    tinted = noise | {"red_green": DRAW.normal(0, 1, 60) + 4 * SMALLER}
    candidates = [
        Candidate(k, "S3", place, 2.0, 0.3, goes_with=tuple(associations(SMALLER, columns)))
        for k, columns in enumerate((tinted, noise))
    ]
    first, second = with_columns([*candidates, Candidate(2, "S1", place, 3.0, 0.3)], 0.05)[:2]
    assert [one.name for one in first.goes_with] == ["red_green"]
    assert 61 * first.goes_with[0].p >= first.goes_with[0].q > first.goes_with[0].p
    assert second.goes_with == ()

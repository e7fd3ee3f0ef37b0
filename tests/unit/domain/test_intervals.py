"""Intervals of means."""

import numpy as np
import pytest

from gfi.domain.intervals import MOST_DRAWN, bootstrap, normal


def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = bootstrap(rng.beta(2, 5, 80), seed)
        assert interval is not None
        covered += interval.low <= 2 / 7 <= interval.high
    assert 0.90 <= covered / 200 <= 0.99


def test_many_values_give_the_normal_interval_which_the_bootstrap_approaches() -> None:
    values = np.random.default_rng(1).random(MOST_DRAWN)
    drawn, exact = bootstrap(values), normal(float(values.mean()), float(values.var()), len(values))
    assert drawn is not None
    assert exact is not None
    assert drawn == pytest.approx(exact, abs=0.08 * (exact.high - exact.low))
    more = np.concatenate([values, [0.5]])
    assert bootstrap(more) == normal(float(more.mean()), float(more.var()), len(more))


def test_what_is_not_finite_is_left_out_and_one_value_has_no_interval() -> None:
    assert bootstrap(np.array([np.nan, 1.0])) is None
    assert bootstrap(np.array([np.nan, 1.0, 1.0, np.inf])) == (1.0, 1.0)
    assert normal(0.5, 0.1, 1) is None

"""Bounds against published values, and how often they hold."""

import numpy as np
import pytest

from gfi.audit.bounds import binomial_tail, mean_lower_bound, share_lower_bound, share_upper_bound, t_quantile


def test_clopper_pearson_gives_the_known_values() -> None:
    assert share_lower_bound(10, 10) == pytest.approx(0.05 ** (1 / 10), abs=1e-9)
    assert share_upper_bound(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20), abs=1e-9)
    assert binomial_tail(2, 3, 0.5) == pytest.approx(0.5)


def test_the_quantiles_of_t_are_those_of_the_tables() -> None:
    for degrees, value in ((1, 6.3138), (5, 2.0150), (23, 1.7139), (200, 1.6525)):
        assert t_quantile(0.95, degrees) == pytest.approx(value, abs=2e-4)


def test_the_bound_of_a_mean_holds_about_as_often_as_it_says_on_effects_as_they_are() -> None:
    """Half of the images do not react, the others anywhere between 0 and 1."""
    draw = np.random.default_rng(0)
    for n in (6, 12, 24):
        values = draw.uniform(0, 1, (3000, n)) * (draw.random((3000, n)) < 0.5)
        held = np.mean([mean_lower_bound(v) <= 0.25 for v in values])
        assert held >= 0.94, n


def test_a_share_outside_its_trials_is_an_error() -> None:
    with pytest.raises(ValueError, match="share"):
        share_lower_bound(3, 2)

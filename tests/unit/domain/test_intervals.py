"""Intervals of means."""

import numpy as np
import pytest

from gfi.domain.intervals import MOST_DRAWN, bootstrap, is_share, normal, of_share


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
    assert bootstrap(np.array([np.nan, 0.7, 0.7, np.inf])) == (0.7, 0.7)
    assert normal(0.5, 0.1, 1) is None


@pytest.mark.parametrize("images", [20, MOST_DRAWN + 500])
@pytest.mark.parametrize("hits", [0, 1, 7, -1])
def test_numbers_that_are_zero_or_one_have_the_interval_of_their_share(images: int, hits: int) -> None:
    values = np.zeros(images)
    values[: hits % (images + 1)] = 1
    wanted = of_share(float(values.mean()), images)
    assert bootstrap(values) == wanted
    assert normal(float(values.mean()), float(values.var()), images) == wanted
    assert 0 <= wanted.low < wanted.high <= 1  # never of no width, as of 20 images without a hit


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_the_interval_of_a_share_covers_it_about_as_often_as_it_says(share: float) -> None:
    hits = np.random.default_rng(0).binomial(40, share, 2000)
    bounds = [of_share(k / 40, 40) for k in hits]
    covered = np.mean([low <= share <= high for low, high in bounds])
    assert 0.92 <= covered <= 0.99


@pytest.mark.parametrize("images", [20, MOST_DRAWN + 500])
def test_numbers_that_may_be_greater_than_one_are_no_shares_where_all_are_one(images: int) -> None:
    """Iterations of a method without an optimiser: Wilson's interval began below 1."""
    assert bootstrap(np.ones(images), share=False) == (1, 1)
    assert normal(1.0, 0.0, images, share=False) == (1, 1)


def test_other_numbers_are_no_shares() -> None:
    for values in ([0.5, 0.5], [0.0, 0.5, 1.0], [1e-10, 2e-10], [0.0, 0.0, 0.999], [3.0, 3.0], [-1.0, 1.0]):
        numbers = np.array(values)
        assert not is_share(float(numbers.mean()), float(numbers.var())), values

"""Exact tests and bounds, compared with values that were computed in another way."""

from math import comb

import numpy as np
import pytest

from gfi.drift.binomial import (
    benjamini_hochberg,
    images_to_decide,
    lower_bound,
    mean_bounds,
    p_value,
    share_change_bounds,
    upper_bound,
)


def tail(k: int, n: int, p: float) -> float:
    """P(X ≥ k), term by term."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize(
    ("k", "n", "p"), [(0, 5, 0.2), (3, 3, 0.5), (4, 30, 0.05), (17, 40, 0.3), (40, 40, 0.9)]
)
def test_the_p_value_is_the_sum_of_the_tail(k: int, n: int, p: float) -> None:
    assert p_value(k, n, p) == pytest.approx(tail(k, n, p), rel=1e-12)


@pytest.mark.parametrize(("k", "n"), [(1, 10), (7, 30), (29, 30)])
def test_at_a_bound_the_tail_has_exactly_the_level(k: int, n: int) -> None:
    assert tail(k, n, float(lower_bound(k, n, 0.05))) == pytest.approx(0.05)
    assert 1 - tail(k + 1, n, float(upper_bound(k, n, 0.05))) == pytest.approx(0.05)


def test_bounds_at_the_ends() -> None:
    assert lower_bound(0, 30, 0.05) == 0
    assert upper_bound(30, 30, 0.05) == 1
    assert lower_bound(30, 30, 0.05) == pytest.approx(0.05 ** (1 / 30))
    assert upper_bound(0, 30, 0.05) == pytest.approx(1 - 0.05 ** (1 / 30))


def test_bh_rejects_up_to_the_last_p_value_below_its_line() -> None:
    p = np.array([0.04, 0.001, 0.03, 0.9, 0.019])
    # Sorted: .001 ≤ .01, .019 ≤ .02, .03 ≤ .03, .04 ≤ .04, .9 > .05.
    assert benjamini_hochberg(p, 0.05).tolist() == [True, True, True, False, True]
    assert benjamini_hochberg(np.array([0.06, 0.5]), 0.05).tolist() == [False, False]
    assert benjamini_hochberg(np.empty(0), 0.05).tolist() == []


@pytest.mark.parametrize(("share", "limit"), [(0.05, 0.15), (0.0, 0.15), (0.2, 0.15), (0.14, 0.15)])
def test_the_number_that_decides_is_the_smallest(share: float, limit: float) -> None:
    n = images_to_decide(share, limit, 0.05, 1)
    assert n is not None

    def decided(n: int) -> bool:
        if share < limit:
            return bool(upper_bound(share * n, n, 0.05) < limit)
        return bool(lower_bound(share * n, n, 0.05) >= limit)

    assert decided(n)
    assert not decided(n - 1)


def test_a_share_at_its_limit_is_never_decided_and_a_pass_needs_the_fewest_images() -> None:
    assert images_to_decide(0.15, 0.15, 0.05, 50) is None
    assert images_to_decide(0.0, 0.5, 0.05, 50) == 50


def test_bounds_of_a_mean_are_students() -> None:
    low, high = mean_bounds(1.0, 2.0, 16, 0.05)  # t(15, .95) = 1.7531
    assert (low, high) == (
        pytest.approx(1 - 1.75305 * 0.5, abs=1e-5),
        pytest.approx(1 + 1.75305 * 0.5, abs=1e-5),
    )
    assert mean_bounds(1.0, 0.0, 1, 0.05) == (-np.inf, np.inf)


@pytest.mark.parametrize("n", [1, 3, 20, 200])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_bounds_of_a_share_hold_for_the_mean_of_numbers_between_0_and_1(n: int, alpha: float) -> None:
    """Every distribution on two values u < v of a grid: the probability that its mean lies beyond a bound, exactly."""
    k = np.arange(n + 1)
    choose = np.array([float(comb(n, int(i))) for i in k])
    for u in (0, 0.1, 0.4, 0.8):
        for v in (0.2, 0.5, 0.9, 1):
            q = np.concatenate([np.geomspace(1e-4, 0.5, 60), 1 - np.geomspace(1e-4, 0.5, 60)])[:, None]
            sums, means = u * n + (v - u) * k, u + (v - u) * q
            share = choose * q**k * (1 - q) ** (n - k)
            too_high = (share * (lower_bound(sums, n, alpha) > means + 1e-12)).sum(1)
            too_low = (share * (upper_bound(sums, n, alpha) < means - 1e-12)).sum(1)
            rejected = (share * (p_value(sums, n, means + 1e-12) <= alpha)).sum(1)
            assert max(too_high.max(), too_low.max(), rejected.max()) <= alpha * (1 + 1e-9), (u, v)


def test_bounds_of_a_change_of_a_share_are_exact_and_symmetric() -> None:
    low, high = share_change_bounds(0, 0, 20, 0.05)
    assert (low, high) == (pytest.approx(-(1 - 0.025 ** (1 / 20))), pytest.approx(1 - 0.025 ** (1 / 20)))
    assert share_change_bounds(7, 2, 20, 0.05) == tuple(
        -x for x in reversed(share_change_bounds(2, 7, 20, 0.05))
    )
    # One of two bounds is wrong in at most 5 % of samples: 20 images, of which 10 % fall.
    fallen = np.random.default_rng(0).binomial(20, 0.1, size=1000)
    assert np.mean([share_change_bounds(int(k), 0, 20, 0.05)[0] > -0.1 for k in fallen]) <= 0.05
    assert np.mean([share_change_bounds(int(k), 0, 20, 0.05)[1] < -0.1 for k in fallen]) <= 0.05

"""The rank test against its definition, and its level under the null."""

import itertools

import numpy as np
import pytest

from gfi.audit.rank_test import p_value, ranks


def test_p_equals_the_count_of_all_outcomes() -> None:
    controls = np.array([[0.1, 0.2], [0.3, 0.5]])
    effects = np.array([0.15, 0.6])
    total = int(ranks(effects, controls).sum())
    outcomes = [sum(r) for r in itertools.product(range(3), range(3))]
    assert p_value(effects, controls) == pytest.approx(np.mean([o >= total for o in outcomes]))


def test_its_level_holds_for_skewed_effects_with_ties() -> None:
    draw = np.random.default_rng(0)
    rejected = 0
    for _ in range(800):
        all_effects = np.round(draw.exponential(size=(12, 20)) ** 3, 1)
        rejected += p_value(all_effects[:, 0], all_effects[:, 1:]) <= 0.05
    assert rejected / 800 <= 0.065


def test_a_tie_counts_against_the_candidate() -> None:
    assert p_value(np.zeros(5), np.zeros((5, 19))) == pytest.approx(1)


def test_missing_controls_are_left_out() -> None:
    assert p_value(np.array([1.0]), np.array([[0.0, np.nan, np.nan]])) == pytest.approx(0.5)


def test_an_image_without_controls_is_an_error() -> None:
    with pytest.raises(ValueError, match="control"):
        p_value(np.array([1.0]), np.array([[np.nan]]))

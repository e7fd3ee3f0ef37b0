"""Transfer: numbers of a pair of jobs, the shown area, the sample."""

import doctest

import numpy as np
import pytest

from gfi.drift import transfer
from gfi.drift.transfer import Transfer, highest, logit, sampled, transfer_of, transfer_sentences


def test_the_examples_run() -> None:
    assert doctest.testmod(transfer).failed == 0


def test_the_mean_is_that_of_the_differences_of_log_odds_for_each_class_too() -> None:
    others, own = np.array([0.5, 0.2, 0.9]), np.array([0.8, 0.2, 0.5])
    made = transfer_of("a", "b", np.array([3, 3, 5]), others, own)
    odds = [np.log(p / (1 - p)) for p in (others, own)]
    assert made.mean == pytest.approx((odds[0] - odds[1]).mean())
    assert made.classes[3] == (2, pytest.approx((odds[0] - odds[1])[:2].mean()))
    assert made.bounds[0] < made.mean < made.bounds[1]
    assert Transfer.from_json(made.to_json()) == made
    assert logit(np.array([0.0, 1.0])) == pytest.approx([-13.8155, 13.8155], abs=1e-3)


def test_one_image_has_no_bounds_and_a_missing_floor_is_said() -> None:
    one = transfer_of("a", "b", np.array([0]), np.array([0.5]), np.array([0.5]))
    assert (one.mean, one.to_json()["lower"]) == (0.0, None)
    assert "no floor was given" in list(transfer_sentences(one, []))[1]


def test_the_shown_area_is_35_percent_and_prefers_no_side() -> None:
    flat = highest(np.zeros((40, 40)))
    assert flat.sum() == 560
    assert abs(flat[:20].sum() - flat[20:].sum()) < 80


def test_a_sample_is_the_same_in_any_order_and_another_for_another_seed() -> None:
    keys = [f"{n}.jpg" for n in range(100)]
    assert sampled(keys, 10, 0) == sampled(keys[::-1], 10, 0)
    assert sampled(keys, 10, 0) != sampled(keys, 10, 1)

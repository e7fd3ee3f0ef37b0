"""The two-sample test: level by simulation, power, and differences that it must ignore."""

import numpy as np
import pytest

from gfi.drift.errors import DriftError
from gfi.drift.two_sample import features_of, two_sample_test

CLASSES = 4


def sample(random: np.random.Generator, n: int, shift: float = 0.0, classes: int = CLASSES) -> tuple:
    """Features (n, 6) whose mean depends on the class; class 0 is shifted."""
    code = random.integers(classes, size=n)
    x = random.normal(size=(n, 6)) + 3 * code[:, None]
    x[code == 0, 2] += shift
    return x, code


def test_without_a_difference_p_is_below_alpha_as_often_as_alpha() -> None:
    random = np.random.default_rng(0)
    p = []
    for seed in range(200):
        (x, c), (y, d) = sample(random, 120), sample(random, 90)
        p.append(two_sample_test((x, y), (c, d), seed=seed, permutations=99).p)
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.09
    assert 0.4 < np.mean(p) < 0.6


def test_a_class_that_changed_is_found_and_named() -> None:
    random = np.random.default_rng(1)
    (x, c), (y, d) = sample(random, 400), sample(random, 400, shift=1.5)
    found = two_sample_test((x, y), (c, d), seed=0)
    assert found.p <= 0.01
    assert found.statistic > 0
    assert min(found.class_p, key=lambda index: found.class_p[index]) == 0
    assert found.class_p[2] > 0.05


def test_other_shares_of_classes_are_no_difference() -> None:
    random = np.random.default_rng(2)
    x, c = sample(random, 2000)
    many = np.flatnonzero((c == 0) | (random.random(2000) < 0.3))
    y, d = sample(random, 600)
    assert two_sample_test((x[many], y), (c[many], d), seed=0).p > 0.05


def test_it_repeats_itself_with_its_seed() -> None:
    random = np.random.default_rng(3)
    (x, c), (y, d) = sample(random, 100), sample(random, 100)
    assert two_sample_test((x, y), (c, d), seed=5) == two_sample_test((x, y), (c, d), seed=5)


def test_classes_with_few_masks_are_left_out_and_none_is_an_error() -> None:
    random = np.random.default_rng(4)
    (x, c), (y, d) = sample(random, 100), sample(random, 100)
    d[d == 3] = 9
    assert two_sample_test((x, y), (c, d), seed=0).left_out == (3, 9)
    with pytest.raises(DriftError, match="no class has 10 masks"):
        two_sample_test((x[:5], y), (c[:5], d), seed=0)


def test_the_features_of_a_mask_are_shares_of_its_mass() -> None:
    cells = np.zeros((2, 28, 28), np.float32)
    cells[0, :4, 24:] = 0.5
    features = features_of(cells)
    assert features.shape == (2, 49)
    assert features[0, 6] == 1
    assert not features[1].any()

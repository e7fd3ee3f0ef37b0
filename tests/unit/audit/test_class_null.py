"""The classes as the null."""

import numpy as np
import pytest

from gfi.audit.class_null import robust_z, upper_tail


def test_the_class_that_stands_out_does_not_widen_the_spread() -> None:
    values = np.array([0.1, 0.12, 0.08, 0.11, 0.09, 0.1, 0.13, 0.07, 0.9])
    z = robust_z(values, np.full(9, 0.01), np.full(9, 50))
    assert z is not None
    assert z[-1] > 25
    assert np.abs(z[:-1]).max() < 2.5


def test_fewer_than_eight_classes_are_undecided_and_small_classes_do_not_count() -> None:
    images = np.array([50] * 8)
    assert robust_z(np.arange(8.0), np.ones(8), images) is not None
    images[0] = 19
    assert robust_z(np.arange(8.0), np.ones(8), images) is None
    z = robust_z(np.arange(9.0), np.ones(9), np.append(images, 50))
    assert z is not None
    assert z[0] == -np.inf


def test_the_upper_tail_is_the_normal_one() -> None:
    assert upper_tail(np.array([0.0, 1.6448536])) == pytest.approx([0.5, 0.05])

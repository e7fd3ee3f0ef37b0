"""Places and directions in words."""

import doctest

import numpy as np
import pytest

from gfi.drift import places
from gfi.drift.distances import CELLS


def test_the_examples_run() -> None:
    assert doctest.testmod(places).failed == 0


@pytest.mark.parametrize(
    ("rows", "columns", "name"),
    [
        (slice(0, 5), slice(0, 5), "upper left corner"),
        (slice(22, 28), slice(12, 16), "lower edge"),
        (slice(12, 16), slice(12, 16), "centre"),
    ],
)
def test_the_place_is_where_most_was_gained(rows: slice, columns: slice, name: str) -> None:
    gain = np.zeros((CELLS, CELLS))
    gain[rows, columns] = 1
    assert places.gained_place(gain) == name


def test_nothing_gained_has_no_place_and_a_short_shift_no_direction() -> None:
    assert places.gained_place(np.zeros((CELLS, CELLS))) is None
    assert places.direction(0.01, 0.01) is None
    assert places.direction(float("nan"), 0.0) is None

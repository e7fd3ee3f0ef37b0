"""Pauses between attempts."""

import pytest

from gfi.domain.pauses import doubled


def test_a_pause_doubles_up_to_the_longest_one() -> None:
    assert [doubled(0.5, times, 3.0) for times in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("times", [1023, 1024, 10**9])
def test_no_number_of_failures_is_too_large(times: int) -> None:
    assert doubled(1.0, times, 300.0) == 300.0

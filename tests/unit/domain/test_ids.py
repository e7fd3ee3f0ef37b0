"""Ids."""

import time

from gfi.domain.ids import first_id, new_id


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    first = new_id()
    time.sleep(0.002)
    later = [new_id() for _ in range(1000)]
    assert first < min(later)
    assert len(first) == 12
    assert len(set(later)) > 990  # within one millisecond a million are possible


def test_the_ids_of_a_time_do_not_sort_before_its_first_id() -> None:
    at = time.time()
    assert first_id(at) <= new_id() < first_id(time.time() + 1)

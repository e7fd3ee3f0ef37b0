"""Comparisons of a nightly gate are counted, so that no part of the year's level is spent twice."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gfi.drift.gate import parse_gate
from gfi.jobs.looks import next_look
from gfi.store.objects import Exists

NIGHTLY = "[nightly]"


class Keys:
    """The keys of a bucket."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.hidden = False
        """Whether objects are not listed yet, as those of a comparison that runs at the same time."""

    def list(self, prefix: str) -> Iterator[Any]:
        return (SimpleNamespace(key=k) for k in self.keys if k.startswith(prefix) and not self.hidden)

    def put(self, key: str, data: bytes, *, if_none_match: bool) -> None:
        if key in self.keys:
            raise Exists(key)
        self.keys.add(key)


def test_two_comparisons_of_one_day_have_different_numbers() -> None:
    bucket: Any = Keys()
    assert [next_look(bucket, NIGHTLY, ["schedule", "s"], 2026) for _ in range(3)] == [1, 2, 3]
    bucket.hidden = True
    assert next_look(bucket, NIGHTLY, ["schedule", "s"], 2026) == 4


def test_another_year_schedule_or_gate_begins_with_the_first() -> None:
    bucket: Any = Keys()
    for gate, of, year in ((NIGHTLY, "s", 2026), (NIGHTLY, "s", 2027), (NIGHTLY, "t", 2026), ("", "s", 2026)):
        assert next_look(bucket, gate, ["schedule", of], year) == 1


@pytest.mark.parametrize("planned", [365, 8760])
def test_hourly_comparisons_of_a_year_spend_at_most_its_alpha(planned: int) -> None:
    """With the number of the day, 24 comparisons a day at 1.2e-4 each added up to 1.08."""
    spec = parse_gate(f"{NIGHTLY}\ncomparisons_per_year = {planned}")
    levels = [spec.tolerance(look).alpha * spec.tests for look in range(1, 8761)]
    assert sum(levels) <= 0.05

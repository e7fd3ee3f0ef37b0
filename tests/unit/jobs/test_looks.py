"""Comparisons of a nightly gate are counted, so that no part of the year's level is spent twice."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gfi.drift.gate import parse_gate
from gfi.jobs.looks import take_look
from gfi.store.errors import Conflict
from gfi.store.objects import Exists

NIGHTLY = "[nightly]"


class Objects:
    """The objects of a bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.hidden = False
        """Whether objects are not listed yet, as those of a comparison that runs at the same time."""

    def list(self, prefix: str) -> Iterator[Any]:
        return (SimpleNamespace(key=k) for k in self.objects if k.startswith(prefix) and not self.hidden)

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def put(self, key: str, data: bytes, *, if_none_match: bool = False) -> None:
        if if_none_match and key in self.objects:
            raise Exists(key)
        self.objects[key] = data


def look(bucket: Any, second: str, wanted: int | None = None, *, generation: int = 0) -> int:
    """The look of the comparison of job `second` with job a."""
    return take_look(
        bucket, NIGHTLY, ["schedule", "s"], 2026, [["a", 0, 1.0], [second, generation, 2.0]], wanted
    )


def test_two_comparisons_of_one_day_have_different_numbers() -> None:
    bucket = Objects()
    assert [look(bucket, second) for second in "bcd"] == [1, 2, 3]
    bucket.hidden = True
    assert look(bucket, "e") == 4


def test_a_comparison_that_is_made_again_has_its_number_again() -> None:
    bucket = Objects()
    assert [look(bucket, second) for second in "bcbc"] == [1, 2, 1, 2]
    bucket.hidden = True  # two workers make it at the same time
    assert look(bucket, "c") == 2
    bucket.hidden = False
    for mark in [key for key in bucket.objects if "-" in key]:
        del bucket.objects[mark]  # a worker died after it had taken the number
    assert [look(bucket, "d"), look(bucket, "c")] == [3, 2]
    assert look(bucket, "c", generation=1) == 4  # the job was retried, so that other masks are judged


def test_a_number_that_a_person_names_is_recorded_and_given_once() -> None:
    bucket = Objects()
    assert [look(bucket, "b", 2), look(bucket, "b", 2), look(bucket, "c"), look(bucket, "d")] == [2, 2, 1, 3]
    with pytest.raises(
        Conflict, match="look 2 was the comparison of a and b; leave out --look, then it is 4"
    ):
        look(bucket, "e", 2)
    with pytest.raises(Conflict, match="was counted as look 2 of 2026"):
        look(bucket, "b", 7)


def test_another_year_schedule_or_gate_begins_with_the_first() -> None:
    bucket: Any = Objects()
    for gate, of, year in ((NIGHTLY, "s", 2026), (NIGHTLY, "s", 2027), (NIGHTLY, "t", 2026), ("", "s", 2026)):
        assert take_look(bucket, gate, ["schedule", of], year, [["a"], ["b"]]) == 1


@pytest.mark.parametrize("planned", [365, 8760])
def test_hourly_comparisons_of_a_year_spend_at_most_its_alpha(planned: int) -> None:
    """With the number of the day, 24 comparisons a day at 1.2e-4 each added up to 1.08."""
    spec = parse_gate(f"{NIGHTLY}\ncomparisons_per_year = {planned}")
    levels = [spec.tolerance(look).alpha * spec.tests for look in range(1, 8761)]
    assert sum(levels) <= 0.05

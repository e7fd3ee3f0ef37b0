"""Ids, digests and the tables of states."""

import time

import pytest

from gfi.domain.digests import digest
from gfi.domain.ids import new_id
from gfi.domain.records import ResultRecord
from gfi.domain.states import (
    ACTIVE,
    OPEN,
    SHARD_TRANSITIONS,
    TERMINAL,
    TRANSITIONS,
    JobState,
    ShardState,
)
from gfi.domain.statuses import ImageStatus


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    first = new_id()
    time.sleep(0.002)
    later = [new_id() for _ in range(1000)]
    assert first < min(later)
    assert len(first) == 12
    assert len(set(later)) > 990  # within one millisecond a million are possible


def test_a_digest_is_of_the_content_not_of_its_spelling() -> None:
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})


def test_every_state_has_its_place_in_the_table() -> None:
    assert set(TRANSITIONS) == set(JobState) == TERMINAL | ACTIVE
    assert set(SHARD_TRANSITIONS) == set(ShardState)
    for state in TERMINAL:  # left by a retry, which plans anew
        assert TRANSITIONS[state] <= {JobState.PLANNING, JobState.QUEUED}
    assert not SHARD_TRANSITIONS[ShardState.DONE]
    assert {ShardState.PENDING, ShardState.LEASED} == OPEN


def test_numbers_a_database_cannot_hold_become_null() -> None:
    record = ResultRecord(
        row=1, key="k", status=ImageStatus.OK, kept=float("inf"), metrics={"entropy": float("nan")}
    )
    columns = record.columns()
    assert columns["kept"] is None
    assert columns["entropy"] is None
    with pytest.raises(ValueError, match="no column for metric 'beauty'"):
        ResultRecord(row=1, key="k", status=ImageStatus.OK, metrics={"beauty": 1.0}).columns()

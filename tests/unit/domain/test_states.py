"""The tables of states."""

from gfi.domain.states import (
    ACTIVE,
    JUDGED,
    OPEN,
    SHARD_TRANSITIONS,
    TERMINAL,
    TRANSITIONS,
    JobState,
    ShardState,
)


def test_every_state_is_in_the_table_of_transitions() -> None:
    assert set(TRANSITIONS) == set(JobState) == TERMINAL | ACTIVE
    assert set(SHARD_TRANSITIONS) == set(ShardState)
    for state in TERMINAL:  # left by a retry, which plans anew
        assert TRANSITIONS[state] - JUDGED <= {JobState.PLANNING, JobState.QUEUED}
    assert not TRANSITIONS[JobState.CANCELLED] & JUDGED
    assert not SHARD_TRANSITIONS[ShardState.DONE]
    assert {ShardState.PENDING, ShardState.LEASED} == OPEN

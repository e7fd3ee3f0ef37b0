"""The conditions of changes of state."""

import pytest

from gfi.domain.states import TERMINAL, JobState, ShardState
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.ledger.guards import job_transition, lock_job, shard_transition
from gfi.store.tables import control_tasks, shards


def test_a_change_that_the_table_does_not_allow_cannot_be_written() -> None:
    with pytest.raises(AssertionError, match="succeeded → running"):
        job_transition(JobState.SUCCEEDED, JobState.RUNNING)
    with pytest.raises(AssertionError, match="is not a transition"):
        job_transition(TERMINAL, JobState.CANCELLED)
    for table in (shards, control_tasks):
        with pytest.raises(AssertionError, match="done → pending"):
            shard_transition(table, ShardState.DONE, ShardState.PENDING)


def test_a_job_that_is_not_there_cannot_be_locked(database: Database) -> None:
    with database.begin() as connection, pytest.raises(NotFound, match="no job nosuch"):
        lock_job(connection, "nosuch")

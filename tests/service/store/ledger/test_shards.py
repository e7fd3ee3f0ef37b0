"""The rows of shards."""

import pytest

from gfi.domain.states import ShardState
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.ledger.shards import insert_shard, insert_shards, shard_id
from tests.service.store.ledger_actors import submit


def test_an_id_names_job_retry_and_first_position() -> None:
    assert shard_id("job", 0, 64) == "job-64"
    assert shard_id("job", 2, 64) == "job-r2-64"


def test_many_shards_are_inserted_in_bulk_and_cover_their_images(database: Database) -> None:
    job = submit(database)
    bounds = [(start, start + 2) for start in range(0, 5000, 2)]
    with database.begin() as connection:
        assert insert_shards(connection, job, 0, "manifest", bounds) == 5000
    rows = queries.list_shards(database, job, limit=3000)
    assert [(row["start"], row["stop"]) for row in rows] == bounds
    assert {row["state"] for row in rows} == {ShardState.PENDING.value}


@pytest.mark.parametrize("bounds", [[(1, 2)], [(0, 2), (3, 4)], [(0, 2), (1, 4)], [(0, 0)]])
def test_shards_that_do_not_follow_on_each_other_are_refused(
    database: Database, bounds: list[tuple[int, int]]
) -> None:
    job = submit(database)
    with pytest.raises(ValueError, match="does not begin at"), database.begin() as connection:
        insert_shards(connection, job, 0, "manifest", bounds)
    assert queries.list_shards(database, job) == []


def test_two_shards_never_begin_at_the_same_position(database: Database) -> None:
    job = submit(database)
    with database.begin() as connection:
        insert_shard(connection, job, 0, "manifest", 0, 4)
        insert_shard(connection, job, 1, "manifest of a retry", 0, 4)
    with pytest.raises(Exception, match=r"(?i)unique"), database.begin() as connection:
        insert_shard(connection, job, 0, "manifest", 0, 2)

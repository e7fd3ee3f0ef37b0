"""The further columns of a manifest, stored with the results of a job, on SQLite and PostgreSQL."""

from typing import Any

import pytest
import sqlalchemy as sa

from gfi.domain.manifest_columns import parse_where
from gfi.domain.result import Result
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.queries import results as query
from gfi.store.tables import image_columns
from tests.service.store.ledger_actors import claim, claim_task, part, submit

KINDS: dict[str, Any] = {"site": "text", "age": "number"}
VALUES = [
    {"site": "A", "age": 40.0},
    {"site": "B", "age": 8.0},
    {"site": "A"},
    {"site": "a", "age": 40.5},
    {},
]


@pytest.fixture
def job(database: Database) -> str:
    """A finished job of five images; the last but one is an error."""
    made = submit(database)
    task = claim_task(database, ControlKind.PLAN)
    assert ledger.finish_planning(
        database,
        task,
        manifest_key="m",
        manifest_digest="d",
        total=5,
        shards=[(0, 5)],
        metadata={"columns": KINDS},
    )
    commit(database, range(5), ImageStatus.ERROR)
    ledger.finish_jobs(database)
    return made


def commit(db: Database, rows: Any, last: ImageStatus) -> None:
    held = claim(db)
    results = [
        Result(
            row,
            f"{row}.jpg",
            last if row == 3 else ImageStatus.OK,
            columns=VALUES[row],
            area=row / 10,
            target=row % 2,
            target_rank=rank,
        )
        for row in rows
        for rank in (0, 1)
    ]
    assert ledger.commit_shard(db, held, held.stop, part(held, len(results)), results)


def rows(db: Database, job: str, *conditions: str, **more: Any) -> list[int]:
    where = tuple(parse_where(text, KINDS) for text in conditions)
    filters = queries.Filters(where=where, target_rank=0)
    return [result.row for result in queries.list_results(db, job, filters=filters, **more)]


def test_results_are_filtered_by_columns(database: Database, job: str) -> None:
    assert rows(database, job, "site=A") == [0, 2]
    assert rows(database, job, "site!=A") == [1, 3]
    assert rows(database, job, "site=") == [4]
    assert rows(database, job, "age>=40") == [0, 3]
    assert rows(database, job, "age>8", "site=A") == [0]
    assert rows(database, job, "age<9") == [1]
    assert rows(database, job, "site>B") == [3]  # byte by byte, whatever the database's language
    assert rows(database, job, "site=A", sort="area", descending=True) == [2, 0]
    assert rows(database, job, "site=' OR 1=1") == []


def test_results_carry_their_columns_by_type(database: Database, job: str) -> None:
    results = list(queries.iterate_results(database, job, filters=queries.Filters(target_rank=1)))
    assert [result.columns for result in results] == VALUES
    assert queries.get_result(database, job, 0).columns == VALUES[0]
    assert results[0].to_json()["columns"] == {"site": "A", "age": 40.0}


def test_results_are_grouped_by_a_column(database: Database, job: str) -> None:
    groups, more = queries.group_results(database, job, "site", KINDS)
    assert not more
    assert (groups[0].value, groups[0].images) == ("A", 2)
    assert {group.value: group.images for group in groups} == {"A": 2, "B": 1, "a": 1, None: 1}
    first = groups[0].to_json()
    assert first["counts"] == {"ok": 2}
    assert first["means"]["area"] == {"mean": pytest.approx(0.1), "count": 2}
    by_age, _ = queries.group_results(
        database, job, "age", KINDS, queries.Filters(where=(parse_where("age>=9", KINDS),))
    )
    assert {group.value: dict(group.counts) for group in by_age} == {40.0: {"ok": 1}, 40.5: {"error": 1}}
    by_status, _ = queries.group_results(database, job, "status", KINDS)
    assert [(group.value, group.images) for group in by_status] == [("ok", 4), ("error", 1)]
    with pytest.raises(StoreError, match="site, age, status"):
        queries.group_results(database, job, "key", KINDS)


def test_more_groups_than_are_returned_are_spoken_of(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MOST_GROUPS", 2)
    groups, more = queries.group_results(database, job, "site", KINDS)
    assert ([group.images for group in groups], more) == ([2, 1], True)


def test_a_retry_keeps_them_and_a_deletion_removes_them(database: Database, job: str) -> None:
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="r", total=1, shards=[(0, 1)])
    commit(database, [3], ImageStatus.OK)
    ledger.finish_jobs(database)
    assert queries.get_result(database, job, 3).columns == VALUES[3]
    assert rows(database, job, "age>=40") == [0, 3]
    count = sa.select(sa.func.count()).select_from(image_columns)
    with database.read() as connection:
        assert connection.execute(count).scalar_one() == 7
    ledger.delete_job(database, job)
    with database.read() as connection:
        assert connection.execute(count).scalar_one() == 0

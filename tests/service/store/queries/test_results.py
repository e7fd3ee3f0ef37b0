"""Pages of results."""

from typing import Any

import pytest
import sqlalchemy as sa

from gfi.domain.metrics import METRICS
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError
from tests.service.store.ledger_actors import (
    claim,
    part,
    plan,
)


def test_pages_by_key_show_every_result_once_in_any_order(database: Database) -> None:
    job = plan(database, total=25, size=25)
    held = claim(database)
    rows = [
        Result(
            row=row,
            key=f"{row}",
            status=ImageStatus.OK if row % 3 else ImageStatus.EMPTY,
            prediction=row % 4,
            metrics={"deletion": (row * 7 % 5) / 5} if row % 6 else {},
        )
        for row in range(25)
    ]
    assert ledger.commit_shard(database, held, 25, part(held, 25), rows)
    for sort in ("row", "deletion"):
        for descending in (False, True):
            seen, after = [], None
            while page := queries.list_results(
                database, job, sort=sort, descending=descending, limit=4, after=after
            ):
                seen += page
                after = queries.page_key(page[-1], sort)
            assert sorted(row.row for row in seen) == list(range(25))
            numbers = [row.number(sort) for row in seen if row.number(sort) is not None]
            assert numbers == sorted(numbers, reverse=descending)
            assert all(row.number(sort) is None for row in seen[len(numbers) :])
    narrowed = queries.Filters(status=ImageStatus.EMPTY, prediction=0)
    assert [r.row for r in queries.list_results(database, job, filters=narrowed)] == [0, 12, 24]
    ranged = queries.Filters(metric="deletion", at_least=0.5, at_most=0.7)
    assert {r.number("deletion") for r in queries.list_results(database, job, filters=ranged)} == {0.6}
    assert len(list(queries.iterate_results(database, job, limit=7))) == 7
    with pytest.raises(StoreError, match="cannot be sorted"):
        queries.list_results(database, job, sort="key; DROP TABLE jobs")


def test_a_page_of_rows_is_read_from_an_index(database: Database) -> None:
    statements: list[tuple[str, Any]] = []
    job = _a_thousand_results(database)
    sa.event.listen(
        database.engine, "before_cursor_execute", lambda *given: statements.append((given[2], given[3]))
    )
    for descending in (False, True):
        page = queries.list_results(database, job, filters=queries.Filters(), descending=descending, limit=5)
        deep = queries.page_key(page[-1])
        queries.list_results(database, job, descending=descending, limit=5, after=deep)
    asked = [statement for statement in statements if statement[0].startswith("SELECT results")]
    assert len(asked) == 4
    for statement, values in asked:
        with database.read() as connection:
            explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
            if not database.is_sqlite:  # a thousand rows are sorted as quickly; make bench-api has a million
                connection.exec_driver_sql("SET LOCAL enable_sort = off")
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, values))
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan, plan
        assert "'Sort" not in plan, plan


def _a_thousand_results(database: Database) -> str:
    job = plan(database, total=1000, size=1000)
    held = claim(database)
    rows = [
        Result(
            row=row,
            key=f"{row}",
            status=ImageStatus.OK,
            prediction=row % 4,
            area=row / 1000,
            probability=0.5,
            kept=row % 7 / 7,
            removed=row % 9 / 9,
            iterations=80,
            metrics=dict.fromkeys(METRICS, row * 7 % 501 / 501),
        )
        for row in range(1000)
    ]
    assert ledger.commit_shard(database, held, 1000, part(held, 1000), rows)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return job

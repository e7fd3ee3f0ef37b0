"""Pages in a written order are those of the database's sort, whichever filters and positions they have."""

from itertools import product

import pytest
import sqlalchemy as sa

from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger import orders
from gfi.store.queries import results as reading
from gfi.store.tables import result_orders
from tests.service.store.ledger_actors import claim, part, plan

IMAGES = 60


@pytest.fixture
def job(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job of two classes an image with ties, and with numbers that few, most and no results have."""
    monkeypatch.setattr(orders, "CHUNK", 7)
    monkeypatch.setattr(orders, "_READ", 11)
    monkeypatch.setattr(orders, "_INSERTED", 2)
    job = plan(database, total=IMAGES, size=IMAGES)
    held = claim(database)
    rows = [
        Result(
            row=row,
            key=f"n{row % 5}/{row}.jpg",
            status=ImageStatus.OK if row % 4 else ImageStatus.EMPTY,
            target_rank=rank,
            prediction=row % 3,
            area=(row * 7 % 10) / 10 if row % 6 else None,
            kept=0.5,
            removed=float(row) if row % 9 == 0 else None,
            metrics={"deletion": (row * 13 % 60 + rank) / 61},
        )
        for row in range(IMAGES)
        for rank in range(2)
    ]
    assert ledger.commit_shard(database, held, IMAGES, part(held, IMAGES), rows)
    ledger.finish_jobs(database)
    return job


def _pages(
    database: Database, job: str, sort: str, descending: bool, filters: queries.Filters
) -> list[Result]:
    seen: list[Result] = []
    after = None
    while page := queries.list_results(
        database, job, filters=filters, sort=sort, descending=descending, limit=8, after=after
    ):
        seen += page
        after = queries.page_key(page[-1], sort)
    return seen


FILTERS = (
    queries.Filters(),
    queries.Filters(target_rank=1),
    queries.Filters(status=ImageStatus.EMPTY, prediction=0),
    queries.Filters(search="n3/"),
    queries.Filters(metric="area", at_least=0.3, at_most=0.7),
    queries.Filters(metric="deletion", at_most=0.2),
)


def test_a_written_order_is_that_of_the_database(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list(product(("area", "kept", "removed", "deletion", "entropy"), (False, True), FILTERS))
    sorted_by_database = [_pages(database, job, *one) for one in asked]
    assert ledger.write_orders(database, job) == 2 * IMAGES
    monkeypatch.setattr(reading, "_stretches", None)  # would raise: nothing is sorted now
    for one, expected in zip(asked, sorted_by_database, strict=True):
        assert _pages(database, job, *one) == expected, one


def test_when_few_pass_the_filter_the_database_sorts(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = queries.Filters(search="/57.")
    expected = _pages(database, job, "area", True, rare)
    assert [result.row for result in expected] == [57, 57]
    ledger.write_orders(database, job)
    monkeypatch.setattr(reading, "MOST_LOOKED_AT", 20)
    monkeypatch.setattr(reading, "_TRIED", 8)
    assert _pages(database, job, "area", True, rare) == expected


def test_a_position_that_is_not_in_the_order_is_sorted_by_the_database(database: Database, job: str) -> None:
    for after in ((0.35, 7, "gfi", 0), (None, 5, "gfi", 0), (-1.0, 5, "gfi", 0)):
        expected = queries.list_results(database, job, sort="area", limit=5, after=after)
        ledger.write_orders(database, job)
        assert queries.list_results(database, job, sort="area", limit=5, after=after) == expected
        with database.begin() as connection:
            connection.execute(sa.delete(result_orders))


def test_the_order_goes_with_the_job(database: Database, job: str) -> None:
    ledger.write_orders(database, job)
    ledger.delete_job(database, job)
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(result_orders)).scalar() == 0

"""The sums of a job's results: pieces by commits, merged later; what is read of them."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from gfi.domain.result import Result
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger.sums import insert_sums, sums_of
from gfi.store.queries import sums as sum_queries
from gfi.store.tables import result_sums
from tests.service.store.ledger_actors import claim, claim_task, finish_all, part, plan, records


def test_pieces_are_merged_into_one_with_the_same_sum(database: Database) -> None:
    job = plan(database, total=10, size=2)
    finish_all(database)
    before = queries.job_sums(database, job, cells=True)
    assert ledger.merge_sums(database, job) == 5
    assert ledger.merge_sums(database, job) == 0
    assert queries.job_sums(database, job, cells=True) == before
    ledger.finish_jobs(database)
    ledger.delete_job(database, job)
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(result_sums)).scalar() == 0


def test_labels_are_read_as_of_one_moment(database: Database) -> None:
    job = plan(database, total=2, size=2)
    held = claim(database)
    assert ledger.commit_shard(database, held, 2, part(held, 2), records([0, 1], label="cat"))
    with database.begin() as connection:
        insert_sums(connection, job, "another", sums_of(records([2], label="dog")))
    merged: list[int] = []

    def merge(*executed: Any) -> None:
        if not merged and "result_sums.piece" in executed[2]:
            merged.append(0)
            merged[0] = ledger.merge_sums(database, job)

    sa.event.listen(database.engine, "after_cursor_execute", merge)
    assert queries.job_labels(database, job) == {"cat", "dog"}
    assert merged == [2]
    assert queries.job_labels(database, job) == {"cat", "dog"}


def test_a_job_with_very_many_labels_is_not_kept_in_memory(database: Database) -> None:
    job, few = plan(database, total=2, size=2), plan(database, total=2, size=2)
    with database.begin() as connection:
        for of in (job, few):
            insert_sums(connection, of, "one", sums_of(records([0], label="cat")))
    assert queries.job_labels(database, job) == queries.job_labels(database, few) == {"cat"}
    with database.begin() as connection:
        many = (Result(row, "a.jpg", ImageStatus.OK, label=str(row)) for row in range(20_000))
        insert_sums(connection, job, "two", sums_of(many))
    assert len(queries.job_labels(database, job)) == 20_001
    assert few in sum_queries._LABELS
    assert job not in sum_queries._LABELS


def test_a_retry_replaces_the_sums_of_its_images_and_no_others(database: Database) -> None:
    job = plan(database, total=4, size=2)
    for status in (ImageStatus.OK, ImageStatus.ERROR):
        held = claim(database)
        rows = [
            replace(row, kept=0.1 * (row.row + 1)) for row in records(range(held.start, held.stop), status)
        ]
        assert ledger.commit_shard(database, held, held.stop, part(held, 2), rows)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="r1", total=2, shards=[(0, 2)])
    held = claim(database)
    rows = [replace(row, kept=0.7) for row in records([2, 3])]
    assert ledger.commit_shard(database, held, 1, part(held, 1), rows[:1])  # releases the rest
    assert ledger.cancel_job(database, job)
    sums = queries.job_sums(database, job, cells=True)
    assert sums == sums_of(queries.iterate_results(database, job))
    assert sums.statuses() == {"ok": 3, "error": 1}
    assert sums.numbers()["kept"].mean == pytest.approx((0.1 + 0.2 + 0.7) / 3, abs=1e-15)


def test_groups_from_sums_are_those_of_the_rows(database: Database) -> None:
    job = plan(database, total=12, size=12)
    held = claim(database)
    rows = [
        Result(
            row=row,
            key=f"{row}.jpg",
            status=(ImageStatus.OK, ImageStatus.OK, ImageStatus.EMPTY)[row % 3],
            label=("a", None)[row % 2],
            target=row % 4,
            prediction=row % 5,
            kept=row / 16,
        )
        for row in range(12)
    ]
    assert ledger.commit_shard(database, held, 12, part(held, 12), rows)
    everything = queries.Filters(search=".jpg")  # any filter reads the rows
    for by in ("label", "status", "target", "prediction"):
        summed, _ = queries.group_results(database, job, by, {})
        read, _ = queries.group_results(database, job, by, {}, everything)
        assert {group.value: group for group in summed} == {group.value: group for group in read}

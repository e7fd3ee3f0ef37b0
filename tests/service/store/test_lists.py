"""The list that results are rebuilt from grows with the job; a retry may name classes of errors."""

import sqlalchemy as sa

from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from tests.service.store.acting import claim, claim_task, commit, part, plan, records, submit


def test_parts_are_listed_every_so_many_and_once(database: Database) -> None:
    job = plan(database, total=8, size=1)
    for expected in ([], [job], []):
        assert commit(database, claim(database))
        asked = ledger.request_lists(database, every=2)
        assert len(asked) == len(expected)
    task = claim_task(database, ControlKind.LIST)
    assert task.job_id == job
    assert ledger.finish_control(database, task, {"parts": 3})
    assert commit(database, claim(database))
    assert not ledger.request_lists(database, every=2), "four parts, three of them listed"
    assert commit(database, claim(database))
    assert len(ledger.request_lists(database, every=2)) == 1


def test_a_retry_can_be_for_one_class_of_errors(database: Database) -> None:
    job = plan(database, total=2, size=2)
    held = claim(database)
    rows = [
        *records([0], ImageStatus.ERROR, error_class="unreadable"),
        *records([1], ImageStatus.ERROR, error_class="killer"),
    ]
    assert ledger.commit_shard(database, held, 2, part(held, 2), rows)
    assert ledger.finish_jobs(database)[0].state is JobState.FAILED
    assert ledger.retry_job(database, job, classes=["killer"]).state is JobState.PLANNING
    task = claim_task(database, ControlKind.RETRY)
    assert task.payload == {"statuses": ["changed", "error"], "classes": ["killer"]}
    chosen = queries.rows_with_status(database, job, task.payload["statuses"], task.payload["classes"])
    assert list(chosen) == [1]


def test_a_frozen_transaction_does_not_keep_its_locks(database: Database) -> None:
    if database.is_sqlite:
        return  # one writer at a time, and none of them over a network
    with database.read() as connection:
        setting = connection.execute(sa.text("SHOW idle_in_transaction_session_timeout")).scalar_one()
    assert setting == "10s"


def test_jobs_are_found_by_a_whole_tag_or_a_part_of_the_name(database: Database) -> None:
    night = submit(database, name="cats", tags=("night", 'übung "1"'))
    day = submit(database, name="nightly", tags=("day",))
    submit(database)

    def found(**filters: str) -> list[str]:
        return sorted(job.id for job in queries.list_jobs(database, **filters))  # type: ignore[arg-type]

    assert found(tag="night") == [night]
    assert found(tag='übung "1"') == [night]
    assert found(tag="nigh") == []
    assert found(search="night") == sorted([night, day])
    assert found(search="day") == [day]
    assert found(search="night", tag="day") == [day]

"""Lists of jobs."""

import time

import pytest

from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from tests.service.store.ledger_actors import submit


def test_jobs_are_found_by_the_beginning_of_their_id_and_paged_newest_first(database: Database) -> None:
    made = []
    for _ in range(5):
        made.append(submit(database, name=f"number {len(made)}"))
        time.sleep(0.002)
    assert queries.get_job(database, made[0]).id == made[0]
    assert queries.get_job(database, made[0][:10]).id in made
    for wrong in ("", "zzz", "%", made[0][:2]):
        with pytest.raises(NotFound):
            queries.get_job(database, wrong)
    first = queries.list_jobs(database, limit=3)
    rest = queries.list_jobs(database, limit=3, after=first[-1].id)
    assert [job.id for job in first + rest] == made[::-1]
    assert [job.id for job in queries.list_jobs(database, search="ber 3")] == [made[3]]


def test_jobs_are_found_by_a_whole_tag_or_a_part_of_the_name(database: Database) -> None:
    night = submit(database, name="cats", tags=("night", 'übung "1"'))
    day = submit(database, name="nightly", tags=("day",))
    submit(database)

    def listed(**filters: str) -> list[str]:
        return sorted(job.id for job in queries.list_jobs(database, **filters))  # type: ignore[arg-type]

    assert listed(tag="night") == [night]
    assert listed(tag='übung "1"') == [night]
    assert listed(tag="nigh") == []
    assert listed(search="night") == sorted([night, day])
    assert listed(search="day") == [day]
    assert listed(search="night", tag="day") == [day]

"""What follows a schedule's jobs begins once, when they have ended, and is shown with the firing."""

import threading

import pytest
import sqlalchemy as sa

from gfi import samples
from gfi.jobs import follow_ups, schedules
from gfi.jobs.submit import Invalid, JobRequest
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.settings import Settings
from gfi.store.tables import jobs as jobs_table

REQUEST = JobRequest(dataset=str(samples.path()), model="net", owner="ada")


def add(database: Database, **options: object) -> schedules.Schedule:
    return schedules.add_schedule(
        *(database, Settings(), "m", None, "UTC", REQUEST), **{"every": "6h", "actor": "test", **options}
    )


def run(database: Database, state: str) -> str:
    """Fires the schedule, and ends its job in this state."""
    job = schedules.run_now(database, Settings(), "m", actor="test")["job"]
    assert follow_ups.follow(database) == []  # its job is not over
    with database.begin() as connection:
        mine = sa.update(jobs_table).where(jobs_table.c.id == job)
        connection.execute(mine.values(state=state, manifest_key="manifests/x.parquet"))
    return str(job)


def test_an_audit_follows_each_job_once_however_many_schedulers_look(registered: Database) -> None:
    assert add(registered, audit={"seed": 3}).follow_ups == {"audit": {"classes": [], "seed": 3}}
    job = run(registered, "succeeded")
    start, begun = threading.Barrier(2), []

    def look() -> None:
        start.wait()
        begun.extend(follow_ups.follow(registered))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (audit,) = queries.list_audits(registered, job)
    assert (audit.owner, audit.settings["seed"]) == ("ada", 3)
    assert begun == [{"schedule": "m", "job": job, "name": "audit", "audit": audit.id}]
    (firing,) = schedules.firings_of(registered, "m")
    assert firing["followed"] == {"audit": {"audit": audit.id, "state": "screening", "verdict": "screening"}}
    assert not firing["following"]


def test_what_cannot_follow_is_told_with_the_firing(registered: Database) -> None:
    add(registered, audit=True)
    run(registered, "failed")
    follow_ups.follow(registered)
    (firing,) = schedules.firings_of(registered, "m")
    assert firing["followed"] == {"audit": {"reason": "the job is failed; only results are audited"}}
    schedules.change_schedule(registered, Settings(), "m", actor="test", audit={"classes": ["unicorn"]})
    run(registered, "succeeded")
    follow_ups.follow(registered)
    latest, _ = schedules.firings_of(registered, "m")
    assert "the model has no class 'unicorn'" in latest["followed"]["audit"]["reason"]
    assert follow_ups.follow(registered) == []


def test_nothing_follows_the_jobs_submitted_before_it_was_asked_for_or_after_it_was_taken_back(
    registered: Database,
) -> None:
    add(registered)
    first = run(registered, "succeeded")
    schedules.change_schedule(registered, Settings(), "m", actor="test", audit=True)
    assert follow_ups.follow(registered) == []
    schedules.change_schedule(registered, Settings(), "m", actor="test", audit=False)
    second = run(registered, "succeeded")
    assert follow_ups.follow(registered) == []
    assert not queries.list_audits(registered, first) + queries.list_audits(registered, second)


@pytest.mark.parametrize(
    ("audit", "says"),
    [
        ({"clases": []}, "a table with classes and seed"),
        ({"classes": "moon"}, "classes is a list of names"),
        ({"seed": -1}, "the seed is a whole number"),
    ],
)
def test_settings_that_no_follow_up_could_use_are_refused(
    registered: Database, audit: object, says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        add(registered, audit=audit)

"""Old jobs of a schedule are deleted, and what something refers to is kept."""

from typing import Any

import pytest
import sqlalchemy as sa

from gfi import samples
from gfi.cli.servers import Server
from gfi.jobs import retention, schedules
from gfi.jobs.retention import _SHORTCUTS, delete_old_jobs
from gfi.jobs.submit import JobRequest
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, StoreError
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from gfi.store.tables import audits, findings, firings, jobs
from tests.service.jobs.audits.test_shortcuts import CORNER, audited, finding
from tests.service.store.ledger_actors import plan
from tests.service.store.test_objects import settings_for

REQUEST = JobRequest(dataset=str(samples.path()), model="net", owner="ada")


@pytest.fixture(scope="module")
def bucket(s3: Server) -> Bucket:
    bucket = Bucket.from_settings(settings_for(s3.url, s3_bucket="retention-tests"))
    bucket.ensure()
    return bucket


def nights(database: Database, number: int, **keep: Any) -> tuple[str, list[str]]:
    """A schedule and its jobs, the oldest first, all ended with results."""
    made = schedules.add_schedule(
        *(database, Settings(), "m", None, "UTC", REQUEST), every="6h", actor="test", keep=keep
    )
    ids = [plan(database, total=1, name=f"night {night}") for night in range(number)]
    with database.begin() as connection:
        connection.execute(sa.update(jobs).values(state="succeeded"))
        rows = [
            {"schedule_id": made.id, "firing_key": str(at), "job_id": job, "at": float(at)}
            for at, job in enumerate(ids)
        ]
        connection.execute(sa.insert(firings), rows)
    return made.id, ids


def compare(database: Database, a: str, b: str, schedule: str | None) -> None:
    payload = {"a": a, "b": b, "floor": [], "gate": None, "look": None, "schedule": schedule}
    ledger.request_task(database, "compare", payload, owner="ada", job_id=b)


def test_old_jobs_go_but_for_those_that_something_refers_to(registered: Database, bucket: Bucket) -> None:
    schedule, ids = nights(registered, 9, runs=2)
    flagged, found, known, named, asked, beside, loose, *newest = ids
    ledger.set_flag(registered, flagged, 0, "wrong", "", owner="ada")
    audited(registered, found, finding(CORNER))
    audited(registered, known, finding(CORNER, history="known"))
    schedules.change_schedule(registered, Settings(), "m", actor="test", compare={"with": named})
    compare(registered, asked, newest[1], None)
    compare(registered, beside, newest[0], schedule)
    compare(
        registered, loose, beside, schedule
    )  # of a job that is kept only as the other side of a comparison
    planned = delete_old_jobs(registered, bucket, dry_run=True)
    done = delete_old_jobs(registered, bucket, schedule_id=schedule)
    assert planned.deleted == done.deleted == [known, loose]
    assert set(done.held) == {flagged, found, named, asked, beside}
    assert "flagged" in done.held[flagged]
    assert {job.id for job in queries.list_jobs(registered)} == set(ids) - {known, loose}
    with registered.read() as connection:
        left = connection.execute(sa.select(audits.c.job_id).join(findings)).scalars().all()
    assert left == [found]
    # A flag that is set between the list and the deletion counts; without `keep`, nothing is deleted.
    schedules.change_schedule(registered, Settings(), "m", actor="test", keep={"runs": 1, "flagged": True})
    ledger.set_flag(registered, newest[0], 0, "wrong", "", owner="ada")
    with pytest.raises(Conflict, match="an image of it is flagged"):
        ledger.delete_old_job(registered, schedule, newest[0], _SHORTCUTS, actor="gc")
    schedules.change_schedule(registered, Settings(), "m", actor="test", keep=False)
    assert not delete_old_jobs(registered, bucket).deleted


def test_a_job_whose_objects_the_store_refuses_to_delete_keeps_no_other(
    registered: Database, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, ids = nights(registered, 4, runs=2)
    asked = []

    def refused(*_: object) -> None:
        asked.append(True)
        raise StoreError("1 of 4 objects could not be deleted")

    monkeypatch.setattr(retention, "delete_objects_of", refused)
    assert delete_old_jobs(registered, bucket, schedule_id=schedule).deleted == ids[:2]
    assert len(asked) == 2
    schedules.change_schedule(registered, Settings(), "m", actor="test", keep=False)

"""The audit log."""

from gfi.store import ledger, queries
from gfi.store.database import Database
from tests.service.store.ledger_actors import submit


def test_entries_come_newest_first_a_page_at_a_time_and_by_job(database: Database) -> None:
    job = submit(database, owner="ann")
    ledger.audited(database, "bob", "results.exported", job, {"rows": 3})
    ledger.audited(database, "bob", "signed.in")
    entries = queries.list_audit(database)
    assert {entry["action"] for entry in entries} == {"job.submitted", "results.exported", "signed.in"}
    assert [entry["id"] for entry in entries] == sorted((entry["id"] for entry in entries), reverse=True)
    assert queries.list_audit(database, after=entries[0]["id"], limit=1) == [entries[1]]
    of_job = {entry["action"]: entry for entry in queries.list_audit(database, job_id=job)}
    assert set(of_job) == {"job.submitted", "results.exported"}
    assert of_job["job.submitted"]["actor"] == "ann"
    assert of_job["results.exported"]["details"] == {"rows": 3}

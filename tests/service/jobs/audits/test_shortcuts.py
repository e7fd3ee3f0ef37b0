"""New confirmed shortcuts between the audits of two jobs."""

from typing import Any

import pytest

from gfi.audit.findings import Finding
from gfi.audit.places import Place
from gfi.audit.verdicts import Verdict
from gfi.jobs.audits.outcome import _NUMBERS
from gfi.jobs.audits.shortcuts import shortcuts_since
from gfi.store import ledger, queries
from gfi.store.database import Database
from tests.service.store.ledger_actors import plan

CORNER = Place(0.0, 0.7, 0.3, 1.0)
NEARLY = Place(0.0, 0.72, 0.3, 1.0)
CENTRE = Place(0.4, 0.4, 0.6, 0.6)


def finding(place: Place, verdict: Verdict = Verdict.OFF_OBJECT, **columns: Any) -> dict[str, Any]:
    made = Finding("husky", "place", verdict, place)
    record: dict[str, Any] = {name: getattr(made, name) for name in _NUMBERS}
    record |= {"place": [place.left, place.top, place.right, place.bottom], "property": ""}
    row = {"id": made.id, "position": 0, "class_index": 1, "class_name": "husky", "kind": "place"}
    row |= {
        "verdict": verdict.value,
        "history": "new",
        "sentence": f"husky at {place.left}",
        "record": record,
    }
    return row | {"dismissed": ""} | columns


def audited(database: Database, job: str, *found: dict[str, Any], **options: Any) -> None:
    number = len(queries.list_audits(database, job))
    made = {"id": f"{job}-{number}", "job_id": job, "series": "s", "secret": "", "settings": {}}
    made |= {"settings_digest": "", "options": {"classes": []} | options, "created_at": 1.0, "done_at": 2.0}
    summary = {"photographs": True}
    rows = [row | {"audit_id": made["id"], "position": at} for at, row in enumerate(found)]
    assert ledger.restore_audit(database, made | {"summary": summary}, rows)


@pytest.fixture
def jobs(database: Database) -> tuple[Any, Any]:
    a, b = plan(database, total=1), plan(database, total=1)
    return queries.get_job(database, a), queries.get_job(database, b)


def test_a_shortcut_that_only_the_second_audit_confirmed_is_new(
    database: Database, jobs: tuple[Any, Any]
) -> None:
    a, b = jobs
    missing = shortcuts_since(database, a, b).missing
    assert f"`gfi audit {a.id}`" in missing
    assert f"`gfi audit {b.id}`" in missing
    audited(database, a.id, finding(CORNER))
    audited(database, b.id, finding(CENTRE), classes=[1])
    # An audit of one class says nothing about the others.
    assert f"`gfi audit {b.id}`" in shortcuts_since(database, a, b).missing
    audited(database, b.id, finding(NEARLY))
    assert not shortcuts_since(database, a, b).sentences
    dismissed = finding(Place(0.7, 0.0, 1.0, 0.3), dismissed="a watermark")
    known, suspected = finding(NEARLY), finding(Place(0.7, 0.7, 1.0, 1.0), Verdict.SUSPECTED)
    audited(database, b.id, known, finding(CENTRE), dismissed, suspected)
    new = shortcuts_since(database, a, b)
    assert (new.missing, new.sentences) == ("", ("husky at 0.4",))

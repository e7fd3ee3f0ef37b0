"""The notes beside the findings of an audit. Its findings: `tests/service/workers/test_audit_confirm.py`."""

from types import SimpleNamespace
from typing import Any

import pytest

from gfi.audit.settings import AuditSettings
from gfi.jobs.audits.outcome import _notes

CLEAN: dict[str, Any] = {
    "photographs": True,
    "photographs_reason": "",
    "class_null": True,
    "classes": 10,
    "too_few": {"classes": 0, "names": []},
    "left_out": {},
    "damaged_parts": 0,
    "unusable_photographs": {},
    "boxed": 5,
    "images": 400,
    "measured": 400,
    "data_changed": False,
    "model_changed": False,
    "number_tested": 3,
    "settled": None,
    "proposed": 3,
}


def notes(**changes: Any) -> list[str]:
    screened: Any = SimpleNamespace(facts={})
    return list(_notes(CLEAN | changes, screened, AuditSettings()))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data_changed": True}, "The images are not those of the previous audit"),
        ({"model_changed": True}, "The model is another version than that of the previous audit"),
        ({"classes": 1}, "Audit a job that explains other classes too."),
        ({"left_out": {"error": 3, "empty": 1}}, "left out: 1 empty, 3 error."),
        ({"measured": 150}, "were not measured for 250 of 400 results"),
        ({"number_tested": 0}, "No candidate had enough images to be tested."),
        ({"number_tested": 0, "proposed": 0}, "No candidate was found."),
    ],
)
def test_what_a_reader_must_know_is_said(changes: dict[str, Any], says: str) -> None:
    assert notes() == []
    (note,) = notes(**changes)
    assert says in note

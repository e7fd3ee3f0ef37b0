"""The notes beside the findings of an audit. Its findings: `tests/service/workers/test_audit_confirm.py`."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gfi.audit.settings import AuditSettings
from gfi.jobs.audits import outcome as outcome_module
from gfi.jobs.audits.outcome import Outcome, _notes, commit_outcome
from gfi.store.errors import Conflict

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
    "labelled": True,
    "shortcuts": 0,
    "data_changed": False,
    "model_changed": False,
    "number_tested": 3,
    "settled": None,
    "training": None,
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
        (
            {"settled": {"sentence": "Ended.", "unlabelled": 30, "listed": 900}},
            "30 of 900 images have no label of the model's; each counts for the class that its mask explains.",
        ),
        (
            {
                "training": {
                    "job": "T",
                    "shortcuts": 0,
                    "wanted": 0,
                    "unusable": {},
                    "failed": "the job is deleted",
                }
            },
            "The training images of job T could not be searched (the job is deleted)",
        ),
        (
            {"training": {"job": "T", "shortcuts": 0, "wanted": 0, "unusable": {}, "failed": ""}},
            "Nothing was looked for in the training images of job T: no shortcut of repeated pixels was found.",
        ),
        (
            {
                "training": {
                    "job": "T",
                    "shortcuts": 1,
                    "wanted": 1,
                    "unusable": {"unreadable": 3},
                    "failed": "",
                }
            },
            "Training images that could not be used were left out: 3 unreadable.",
        ),
        (
            {"training": {"job": "T", "shortcuts": 0, "wanted": 2, "unusable": {}, "failed": ""}},
            "The pixels of 2 of 2 shortcuts could not be told apart or read again, so they were not looked for in the "
            "training images of job T.",
        ),
        ({"shortcuts": 1, "labelled": False}, "labels would tell them apart."),
        ({"number_tested": 0}, "No candidate had enough images to be tested."),
        ({"number_tested": 0, "proposed": 0}, "No candidate was found."),
    ],
)
def test_what_a_reader_must_know_is_said(changes: dict[str, Any], says: str) -> None:
    assert notes() == []
    *_, note = notes(**changes)
    assert says in note


def test_images_that_are_used_no_more_are_of_no_class_with_too_few_images() -> None:
    classes = np.array([0, 0, -1, 1, -2])
    facts = dict.fromkeys(
        ("images", "boxed", "left_out", "damaged_parts", "classes", "class_null", "photographs")
    ) | {"photographs_reason": ""}
    screened: Any = SimpleNamespace(
        facts=facts,
        kept=SimpleNamespace(data=SimpleNamespace(classes=classes, labels=None)),
        counts=SimpleNamespace(images=np.array([40, 3, 2])),
        candidates=(),
    )
    job: Any = SimpleNamespace(class_names=("cat", "dog", "fox"))
    audit: Any = None
    told = outcome_module._summary(job, audit, screened, [], [], AuditSettings())
    assert told["too_few"] == {"classes": 1, "names": ["dog"]}


def test_a_finding_of_an_audit_until_settled_has_no_command_of_its_job() -> None:
    job: Any = SimpleNamespace(id="J")
    finding: Any = SimpleNamespace(class_name="cat")

    def command(**options: Any) -> str:
        audit: Any = SimpleNamespace(options=options, settings={"seed": 3})
        return outcome_module._command(job, audit, finding)

    assert command(training="T") == "gfi audit J --class cat --training T --seed 3"
    assert command(patch="p.png") == "gfi audit J --class cat --patch mark.png --seed 3"
    assert command(until_settled={}) == ""


def test_an_outcome_that_does_not_count_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[str, bytes] = {}
    done: list[float | None] = [None]
    bucket: Any = SimpleNamespace(
        put=lambda at, body, **_: stored.update({at: body}),
        delete_many=lambda keys: [stored.pop(at) for at in keys],
    )
    monkeypatch.setattr(
        outcome_module.queries, "get_audit", lambda db, audit_id: SimpleNamespace(done_at=done[0])
    )
    names = (
        "series",
        "secret",
        "settings",
        "settings_digest",
        "options",
        "plan",
        "created_at",
        "screened_at",
    )
    audit: Any = SimpleNamespace(id="A", job_id="J", owner="ada", **dict.fromkeys(names))

    def finish(held: bool | None) -> bool:
        if held is None:
            raise Conflict("the audit has gone on with another task")
        return held

    def commit(name: str, words: str, *, held: bool | None) -> bool:
        run: Any = SimpleNamespace(
            database=None,
            claim=SimpleNamespace(name=name),
            check=lambda: None,
            finish=lambda result, write: finish(held),
        )
        outcome = Outcome({"words": words}, [])
        return commit_outcome(bucket, run, SimpleNamespace(id="J"), audit, outcome, {}, lambda c: None)  # type: ignore[arg-type]

    def names_stored() -> set[str]:
        return {at.removeprefix("audits/J/A/").removesuffix(".json") for at in stored}

    assert not commit("T-1", "cancelled", held=False)
    assert not stored
    with pytest.raises(Conflict):
        commit("T-1", "replaced", held=None)
    assert not stored
    assert commit("T-2", "right", held=True)
    assert b"right" in stored["audits/J/A/audit.json"]
    assert names_stored() == {"audit", "audit-T-2"}
    done[0] = 1.0  # committed, by this claim or another: what counts is not known here
    assert not commit("T-3", "late", held=False)
    assert b"right" in stored["audits/J/A/audit.json"]
    assert names_stored() == {"audit", "audit-T-2", "audit-T-3"}

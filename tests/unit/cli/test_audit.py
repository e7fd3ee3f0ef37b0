"""`gfi audit show`: findings with what became of them, where their images are, and their pictures.

Requests and decisions: `tests/service/cli/test_remote_service.py`, `tests/service/api/test_audits.py`.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from gfi.cli import audit

RECORD = {
    "rows": [1, 2],
    "view": "/jobs/J/gallery?finding=A:f00d",
    "command": "gfi audit J --class moon",
    "before": "suspected, seen in 1 of 9 images",
    "pictures": [{"name": "1.jpg", "row": 1}],
    "crop": "crop.png",
}
FINDING = {
    "id": "f00d",
    "class_name": "moon",
    "kind": "place",
    "verdict": "relies_on",
    "history": "grown",
    "sentence": '"moon" is recognised by the top left.',
    "record": RECORD,
    **{"accepted": False, "dismissed": "", "note": "", "assignee": "ada"},
}
GONE = FINDING | {"id": "ba98", "history": "gone", "record": {}}
COUNTS = {"images": 10, "classes": 2, "number_tested": 1, "proposed": 3, "answers": 62}
AUDIT = {
    **{"id": "A", "job_id": "J", "state": "done", "reason": None, "plan": None, "findings": [FINDING, GONE]},
    "summary": {"previous": "B", "notes": ["A note."], "limits": []} | COUNTS,
}


def shown(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], *arguments: str) -> str:
    service = SimpleNamespace(audit=lambda _: given, finding_picture=lambda *name: "/".join(name).encode())
    monkeypatch.setattr(audit, "open_service", lambda: service)
    result = CliRunner().invoke(audit.audit, ["show", "A", *arguments], catch_exceptions=False)
    return result.output


def test_findings_say_what_they_were_before_where_their_images_are_and_how_to_repeat_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = shown(monkeypatch, AUDIT)
    for line in (
        'f00d  [grown, for ada] "moon" is recognised by the top left.',
        "before  suspected, seen in 1 of 9 images",
        "images  /jobs/J/gallery?finding=A:f00d",
        "again   gfi audit J --class moon",
        "Gone since the audit before\n  ba98  moon: place",
        "A note.",
        "10 masks of 2 classes; 1 of 3 candidates tested; the network answered for 62 pictures",
    ):
        assert line in said
    first = AUDIT | {
        "summary": AUDIT["summary"] | {"previous": None},
        "findings": [FINDING | {"history": "new"}],
    }  # type: ignore[operator]
    assert "[for ada]" in shown(monkeypatch, first)


def test_pictures_are_written_into_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "2 pictures in" in shown(monkeypatch, AUDIT, "--pictures", str(tmp_path / "made"))
    assert (tmp_path / "made" / "f00d-1.jpg").read_bytes() == b"A/f00d/1.jpg"
    assert (tmp_path / "made" / "f00d-crop.png").exists()


def test_an_audit_that_found_nothing_says_none_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"id": "A", "created_at": 0.0, "owner": "me", "reason": None}
    listed = [
        one | {"state": "done", "summary": {"verdicts": {}}},
        one | {"state": "screening", "summary": None},
        one | {"state": "done", "summary": {"verdicts": {"relies_on": 2}}},
    ]
    monkeypatch.setattr(audit, "open_service", lambda: SimpleNamespace(audits=lambda job: listed))
    lines = CliRunner().invoke(audit.audits, ["J"]).output.splitlines()[1:]
    assert ["none" in line for line in lines] == [True, False, False]
    assert "2 relies on" in lines[2]


def test_training_images_are_named_by_a_job_and_not_for_an_audit_until_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}

    def request_audit(job: str, **given: Any) -> dict[str, Any]:
        asked.update(given, job=job)
        return {"audit": {"id": "A"}, "created": True}

    monkeypatch.setattr(audit, "open_service", lambda: SimpleNamespace(request_audit=request_audit))
    assert CliRunner().invoke(audit.audit, ["J", "--training", "T"]).output == "audit A\n"
    assert (asked["job"], asked["training"]) == ("J", "T")
    refused = CliRunner().invoke(audit.audit, ["run", "--until-settled", "--dataset", "D", "--training", "T"])
    assert "without JOB, --dry-run, --patch and --training" in str(refused.exception)


def test_an_audit_until_settled_goes_on_from_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def submitted(options: dict[str, Any], **given: Any) -> dict[str, Any]:
        asked.append(options | given)
        return {"audit": {"id": "B"}, "created": True}

    monkeypatch.setattr(audit, "open_service", lambda: SimpleNamespace(audit_until_settled=submitted))
    dataset = ["--dataset", "/d", "--until-settled"]
    assert CliRunner().invoke(audit.audit, ["run", *dataset, "--after", "A"]).output == "audit B\n"
    assert CliRunner().invoke(audit.audit, ["run", *dataset]).output == "audit B\n"
    assert [one["after"] for one in asked] == ["A", None]
    refused = CliRunner().invoke(audit.audit, ["run", "J", "--after", "A"])
    assert "--after goes with --until-settled" in str(refused.exception)

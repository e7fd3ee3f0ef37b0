"""Audits over HTTP: who may ask for one, what is refused, what is shown, what people decide."""

import base64
import io
import threading
from typing import Any

import httpx
import pytest
from PIL import Image

from gfi.client import ApiError, Client
from gfi.domain.states import ControlKind
from gfi.store import ledger, queries
from scheduler import tasks
from scheduler.services import ControlServices
from tests.service.api.conftest import MODEL, World

FINDING: dict[str, Any] = {
    "id": "f00d",
    "class_index": 2,
    "class_name": "rocket",
    "kind": "place",
    "verdict": "relies_on",
    "history": "new",
    "sentence": '"rocket" is recognised by the top of the image.',
    "record": {"p": 0.001, "pictures": [], "rows": [3]},
    "accepted": False,
    "dismissed": "",
    "note": "",
    "assignee": "",
    "decided_by": "",
    "decided_at": None,
}


def finished(world: World, audit_id: str) -> None:
    """Screen and confirm as workers do, with a finding that is made up."""
    screening = ledger.claim_control(
        world.database, "control", 60.0, wanted=ledger.Wanted(kinds=[ControlKind.SCREEN])
    )
    assert screening is not None
    plan = {"candidates": 1, "answers": 1488, "estimate_s": 2.0, "photographs": True}
    assert ledger.finish_control(
        world.database,
        screening,
        plan,
        lambda c: ledger.write_screened(c, audit_id, screening.task_id, plan, True),
    )
    confirming = ledger.claim_control(world.database, "worker", 60.0, wanted=ledger.Wanted("explain"))
    assert confirming is not None
    assert confirming.kind == ControlKind.CONFIRM
    summary = {"verdicts": {"relies_on": 1}, "notes": [], "limits": []}
    assert ledger.finish_control(
        world.database,
        confirming,
        {},
        lambda c: ledger.write_findings(c, audit_id, confirming.task_id, summary, [FINDING]),
    )


def test_an_audit_from_the_request_to_a_decision(one_world: World) -> None:
    world = one_world
    running = world.planned()
    refused = world.call("POST", f"/v1/jobs/{running}/audit", json={})
    assert refused.status_code == 409
    assert "it can be audited once it has ended" in refused.json()["detail"]
    ledger.cancel_job(world.database, running)

    job = world.explained()
    assert world.call("POST", f"/v1/jobs/{job}/audit", "read", json={}).status_code == 403
    unknown = world.call("POST", f"/v1/jobs/{job}/audit", json={"classes": ["unicorn"]})
    assert unknown.status_code == 422
    assert "the model has no class 'unicorn'; it has cat, coffee, rocket" in unknown.json()["detail"]
    patch = base64.b64encode(b"no picture").decode()
    bad = world.call("POST", f"/v1/jobs/{job}/audit", json={"classes": ["cat"], "patch": patch})
    assert bad.status_code == 422
    assert "the patch is not a PNG or JPEG that can be read" in bad.json()["detail"]

    for training, status, says in (
        (job, 422, "is over the audited images"),
        (job[:-1], 404, f"no job {job[:-1]}"),  # a beginning of an id is for people at a terminal
    ):
        wrong = world.call("POST", f"/v1/jobs/{job}/audit", json={"training": training})
        assert (wrong.status_code, says in wrong.json()["detail"]) == (status, True)

    made = world.call("POST", f"/v1/jobs/{job}/audit", "submit", json={})
    assert made.status_code == 202
    audit = made.json()["audit"]
    assert made.headers["Location"] == audit["url"] == f"/v1/audits/{audit['id']}"
    assert audit["state"] == "screening"
    again = world.call("POST", f"/v1/jobs/{job}/audit", "submit", json={})
    assert (again.status_code, again.json()["audit"]["id"]) == (200, audit["id"])
    finished(world, audit["id"])

    shown = world.call("GET", audit["url"], "read").json()
    assert (shown["state"], shown["findings"][0]["sentence"]) == ("done", FINDING["sentence"])
    assert "secret" not in shown
    assert [one["id"] for one in world.call("GET", f"/v1/jobs/{job}/audits").json()] == [audit["id"]]
    place = f"{audit['url']}/findings/f00d"
    decided = world.call("PATCH", place, "submit", json={"accepted": True, "note": "seen"}).json()
    assert (decided["accepted"], decided["note"]) == (True, "seen")
    dismissed = world.call("PATCH", place, "submit", json={"dismissed": "the launch pad"}).json()
    assert (dismissed["accepted"], dismissed["dismissed"]) == (False, "the launch pad")
    assert b"the launch pad" in world.bucket.get(f"audits/{job}/{audit['id']}/decisions.json")
    assert world.call("PATCH", f"{audit['url']}/findings/none", json={"note": "x"}).status_code == 404
    assert world.call("GET", f"{place}/pictures/9.gif").status_code == 404
    assert world.call("DELETE", audit["url"]).status_code == 409
    page = world.call("GET", f"/audits/{audit['id']}")
    assert page.status_code == 200

    client = Client("http://testserver", world.tokens["admin"], transport=_through(world))
    assert client.audit(audit["id"])["findings"][0]["dismissed"] == "the launch pad"
    assert client.decide_finding(audit["id"], "f00d", dismissed="")["dismissed"] == ""
    asked = client.request_audit(job, dry_run=True, classes=["rocket"], patch=_png())
    assert asked["audit"]["options"] == {"dry_run": True, "classes": [2], "patch": True}
    assert client.cancel_audit(asked["audit"]["id"])["state"] == "cancelled"
    assert [one["state"] for one in client.audits(job)] == ["cancelled", "done"]


def test_a_job_of_few_images_is_audited_by_the_control_worker_alone(one_world: World) -> None:
    world = one_world
    job = world.explained()
    made = world.call("POST", f"/v1/jobs/{job}/audit", json={}).json()["audit"]
    control = ControlServices(world.settings, world.database, world.bucket)
    while (claim := ledger.claim_control(world.database, "control", 60.0)) is not None:
        tasks.perform(control, claim, threading.Event())
    # The stack of these tests has a manifest of no content, so the audit fails, and says why.
    audit = queries.get_audit(world.database, made["id"])
    assert audit.state == "failed"
    assert audit.reason


def _png() -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(body, "PNG")
    return body.getvalue()


def _through(world: World) -> httpx.BaseTransport:
    def answered(request: httpx.Request) -> httpx.Response:
        answer = world.client.request(
            request.method, str(request.url), headers=dict(request.headers), content=request.read()
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

    return httpx.MockTransport(answered)


def test_a_dataset_is_audited_until_settled(one_world: World) -> None:
    world = one_world
    job = {"dataset": str(world.photographs), "model": MODEL, "name": "nightly"}
    asked = {"job": job, "classes": ["rocket"], "first": 30}
    assert world.call("POST", "/v1/audits", "read", json=asked).status_code == 403
    for wrong, says in (
        ({"target": 3}, "all masks would be of one class"),
        ({"target": "labels"}, "draws its sample by one label an image"),
        ({"top": 2}, "explains one class an image"),
        ({"model": "none"}, "model 'none' is not registered"),
    ):
        refused = world.call("POST", "/v1/audits", "submit", json=asked | {"job": job | wrong})
        assert refused.status_code == 422
        assert says in refused.json()["detail"]
    key = {"Idempotency-Key": "k"}
    made = world.call("POST", "/v1/audits", "submit", json=asked, headers=key)
    assert made.status_code == 202
    audit = made.json()["audit"]
    assert (audit["state"], audit["options"]["classes"]) == ("explaining", [2])
    assert audit["options"]["until_settled"]["first"] == 30
    again = world.call("POST", "/v1/audits", "submit", json=asked, headers=key)
    assert (again.status_code, again.json()["audit"]["id"]) == (200, audit["id"])
    going_on = world.call("POST", "/v1/audits", "submit", json=asked | {"after": audit["id"]})
    assert going_on.status_code == 422
    assert f"after: audit {audit['id']} is explaining; wait for its end" in going_on.json()["detail"]
    assert world.call("POST", "/v1/audits", "submit", json=asked | {"after": "none"}).status_code == 404
    _, other_token = ledger.create_token(world.database, "eve", ["submit"])
    theirs = {"Authorization": f"Bearer {other_token}"}
    foreign = world.client.post("/v1/audits", json=asked | {"after": audit["id"]}, headers=theirs)
    assert foreign.status_code == 403, (
        "nobody takes the evidence of another's audit, which would go on no more"
    )
    client = Client("http://testserver", world.tokens["admin"], transport=_through(world))
    other = client.audit_until_settled(job["dataset"], MODEL, seed=1)
    assert other["created"]
    with pytest.raises(ApiError, match="wait for its end"):
        client.audit_until_settled(job["dataset"], MODEL, seed=1, after=other["audit"]["id"])
    assert client.wait_for_audit(other["audit"]["id"], 0)["state"] == "explaining"
    assert client.cancel_audit(other["audit"]["id"])["state"] == "cancelled"
    assert client.job(other["audit"]["job_id"]).record["state"] == "cancelled"


def test_a_decision_outlives_audits_that_do_not_find_what_it_is_about(one_world: World) -> None:
    world = one_world
    job = world.explained()
    dismissed = FINDING | {"dismissed": "a scanner's mark", "decided_by": "ada", "decided_at": 5.0}
    taken_back = FINDING | {"id": "beef", "dismissed": "", "decided_by": "ada", "decided_at": 6.0}
    told = [
        [dismissed, FINDING | {"id": "beef", "dismissed": "a guess"}],
        [dismissed | {"history": "gone"}, taken_back],
        [],
        [],
    ]
    for number, findings in enumerate(told):
        values = {
            **{"id": f"a{number}", "job_id": job, "owner": "ada", "series": "s", "secret": "x"},
            **{"settings": {}, "settings_digest": "d", "options": {}, "created_at": 1.0 + number},
            **{"summary": {}, "done_at": 2.0 + number if number < 3 else None},
        }
        rows = [row | {"audit_id": f"a{number}", "position": place} for place, row in enumerate(findings)]
        assert ledger.restore_audit(world.database, values, rows)
    last = queries.get_audit(world.database, "a3")
    (known,) = queries.decided_before(world.database, last)
    assert (known.id, known.audit_id, known.dismissed) == ("f00d", "a1", "a scanner's mark")

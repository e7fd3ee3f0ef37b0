"""Submitting, listing, paging, cancelling; results and pictures, with a real bucket."""

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gfi.api import drawing
from gfi.api.job_schemas import ProgressOut
from gfi.store import ledger, queries
from tests.service.api.conftest import DIGEST, MODEL, World, model_record


def test_the_api_never_loads_torch_and_needs_nothing_to_be_made() -> None:
    code = (
        "import sys, os\n"
        "for name in list(os.environ):\n"
        "    name.startswith('GFI_') and os.environ.pop(name)\n"
        "from gfi.api import create_app\n"
        "app = create_app(); app.openapi()\n"
        "import gfi.client\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_a_job_is_submitted_once_per_idempotency_key(world: World) -> None:
    headers = {"Idempotency-Key": "monday"}
    first = world.submit("submit", headers)
    assert first.status_code == 201, first.text
    assert first.json()["created"]
    job = first.json()["job"]
    assert first.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["owner"] == "submit-test"
    again = world.submit("submit", headers)
    assert (again.status_code, again.json()["created"], again.json()["job"]["id"]) == (200, False, job["id"])
    other = world.submit("submit", headers, preset="released")
    assert (other.status_code, other.headers["content-type"]) == (409, "application/problem+json")
    # The same work without a key, while it is under way, is the same job.
    same = world.submit("submit", new=False)
    assert (same.status_code, same.json()["job"]["id"]) == (200, job["id"])
    assert len(world.call("GET", "/v1/jobs").json()["items"]) == 1


def test_jobs_are_listed_newest_first_by_page_and_filter(one_world: World) -> None:
    ids = [one_world.submit(name=f"night {n}").json()["job"]["id"] for n in range(5)]
    seen, after = [], None
    while True:
        page = one_world.call(
            "GET", "/v1/jobs", params={"limit": 2} | ({"after": after} if after else {})
        ).json()
        seen += [job["id"] for job in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == sorted(ids, reverse=True)
    found = one_world.call("GET", "/v1/jobs", params={"search": "night 3"}).json()["items"]
    assert [job["id"] for job in found] == [ids[3]]
    assert one_world.call("GET", "/v1/jobs", params={"state": "running"}).json()["items"] == []
    assert one_world.call("GET", "/v1/jobs", params={"owner": "nobody"}).json()["items"] == []


def test_delete_cancels_and_says_so_twice(one_world: World) -> None:
    job = one_world.planned()
    done = one_world.call("DELETE", f"/v1/jobs/{job}")
    assert done.json() == {"job": job, "changed": True, "state": "cancelled"}
    assert one_world.call("DELETE", f"/v1/jobs/{job}").json()["changed"] is False
    assert one_world.call("GET", f"/v1/jobs/{job}").json()["state"] == "cancelled"


def test_only_the_owner_or_an_administrator_changes_a_job(one_world: World) -> None:
    job = one_world.submit("admin").json()["job"]["id"]
    for method, path in (("DELETE", ""), ("POST", "/pause"), ("DELETE", "/data")):
        refused = one_world.call(method, f"/v1/jobs/{job}{path}", "submit")
        assert refused.status_code == 403
    own = one_world.submit("submit").json()["job"]["id"]
    assert one_world.call("POST", f"/v1/jobs/{own}/pause", "submit").json()["state"] == "paused"
    assert one_world.call("GET", f"/v1/jobs/{own}").json()["shown_state"] == "paused"
    assert one_world.call("POST", f"/v1/jobs/{own}/resume", "admin").json()["changed"]
    assert one_world.call("PUT", f"/v1/jobs/{own}/priority", "submit", json={"priority": 7}).json()["changed"]


def test_results_are_paged_by_key_filtered_sorted_and_streamed(world: World) -> None:
    job = world.explained()
    base = f"/v1/jobs/{job}/results"
    total = len(world.names)

    def everything(**params: object) -> list[dict]:
        rows, after = [], None
        while True:
            page = world.call("GET", base, params={"limit": 3} | params | ({"after": after} if after else {}))
            assert page.status_code == 200, page.text
            rows += page.json()["items"]
            after = page.json()["next"]
            if after is None:
                return rows

    rows = everything()
    assert [row["row"] for row in rows] == list(range(total))
    assert rows[0]["target_name"] == "cat"
    assert [row["row"] for row in everything(sort="insertion", descending=True)][:3] == [
        total - 2, total - 3, total - 4,
    ]  # fmt: skip
    assert everything(sort="insertion")[-1]["status"] == "error"  # without a number: last
    assert [row["row"] for row in everything(status="error")] == [total - 1]
    assert all(row["prediction"] == 1 for row in everything(prediction=1))
    assert [row["row"] for row in everything(metric="area", at_least=0.05, at_most=0.09)] == [3, 4]
    lines = world.call("GET", base, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    parsed = [json.loads(line) for line in lines.text.splitlines()]
    assert parsed == rows
    assert world.call("GET", base, params={"format": "jsonl", "status": "ok"}).text.count("\n") == total - 1
    bad = world.call("GET", base, params={"after": "bm9uc2Vuc2U"})
    assert (bad.status_code, bad.json()["title"]) == (422, "Invalid request")


def test_one_explanation_says_what_made_it_and_draws_its_mask(one_world: World) -> None:
    job = one_world.explained()
    one = one_world.call("GET", f"/v1/jobs/{job}/results/2").json()
    assert one["made_by"]["model_digest"] == "0" * 64
    assert one["grid_size"] == [14, 14]
    assert one["input_size"] == [64, 64]
    with Image.open(one_world.photographs / one_world.names[2]) as photograph:
        width, height = photograph.size
    assert one["original_size"] == [height, width]
    stored = one_world.call("GET", f"/v1/jobs/{job}/results/2/mask.npy")
    mask = np.load(io.BytesIO(stored.content), allow_pickle=False)
    assert (mask.shape, mask.dtype) == ((64, 64), np.float32)
    picture = one_world.call("GET", f"/v1/jobs/{job}/results/2/mask.png", params={"size": 200})
    assert picture.headers["content-type"] == "image/png"
    drawn = Image.open(io.BytesIO(picture.content))
    assert max(drawn.size) == 200
    assert abs(drawn.width / drawn.height - width / height) < 0.02
    if width != height:  # clear where the network never looked
        assert drawn.mode == "LA"
        assert np.asarray(drawn)[0, 0, 1] == (0 if width > height else np.asarray(drawn)[0, 0, 1])
    for name in ("overlay.png", "photo.jpg"):
        answer = one_world.call("GET", f"/v1/jobs/{job}/results/2/{name}", params={"size": 96})
        assert answer.status_code == 200, answer.text
        assert max(Image.open(io.BytesIO(answer.content)).size) == 96
        again = one_world.call(
            "GET", f"/v1/jobs/{job}/results/2/{name}", params={"size": 96},
            headers={"If-None-Match": answer.headers["etag"]},
        )  # fmt: skip
        assert again.status_code == 304
    assert (
        one_world.call("GET", f"/v1/jobs/{job}/results/2/mask.png", params={"map": "jet"}).status_code == 200
    )
    broken = one_world.call("GET", f"/v1/jobs/{job}/results/{len(one_world.names) - 1}/mask.png")
    assert broken.status_code == 404
    assert "not a photograph" in broken.json()["detail"]


def test_each_class_of_an_image_has_a_result_and_a_mask(world: World) -> None:
    job = world.explained(top=2)
    assert world.call("GET", f"/v1/jobs/{job}").json()["progress"]["done"] == 10
    base = f"/v1/jobs/{job}/results"
    everything = world.call("GET", f"{base}?limit=100").json()["items"]
    assert [(one["row"], one["target_rank"]) for one in everything[:4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len(everything) == 2 * 9 + 1  # one could not be read
    second = world.call("GET", f"{base}?target_rank=1&limit=100").json()["items"]
    assert [one["target_rank"] for one in second] == [1] * 9
    masks = [world.call("GET", f"{base}/3/mask.npy?target_rank={rank}").content for rank in (0, 1)]
    assert masks[0] != masks[1]
    assert world.call("GET", f"{base}/3/mask.npy?target_rank=2").status_code == 404
    one = world.call("GET", f"{base}/3/mask.npy?target_rank=1")
    assert "3-1-mask.npy" in one.headers["content-disposition"]
    refused = world.submit(top=2, target="cat")
    assert refused.status_code == 422
    assert "leave target and rather_than out" in refused.text


def test_a_photograph_that_changed_is_not_shown_as_the_one_explained(one_world: World) -> None:
    job = one_world.explained()
    path = one_world.photographs / one_world.names[1]
    path.write_bytes(path.read_bytes() + b" ")
    assert one_world.call("GET", f"/v1/jobs/{job}/results/1/photo.jpg").status_code == 409


def test_failures_are_listed_by_class_and_tried_again(world: World) -> None:
    job = world.explained(broken=2)
    failures = world.call("GET", f"/v1/jobs/{job}/failures").json()
    assert [(each["error_class"], each["images"]) for each in failures] == [("unreadable", 2)]
    retried = world.call("POST", f"/v1/jobs/{job}/retry", json={"statuses": ["error"]})
    assert (retried.status_code, retried.json()["state"]) == (202, "planning")
    assert world.call("POST", f"/v1/jobs/{job}/retry", json={}).status_code == 409


def test_flags_are_kept_with_their_notes_and_exported(world: World) -> None:
    job = world.explained()
    put = world.call("PUT", f"/v1/jobs/{job}/results/3/flag", json={"flag": "wrong", "note": "=HYPERLINK(1)"})
    assert put.status_code == 204
    assert world.call("GET", f"/v1/jobs/{job}/flags").json()[0]["note"] == "=HYPERLINK(1)"
    exported = world.call("GET", f"/v1/jobs/{job}/flags", params={"format": "csv"}).text
    assert "'=HYPERLINK(1)" in exported  # no spreadsheet runs it
    flagged = world.call("GET", f"/v1/jobs/{job}/results", params={"flagged": True}).json()["items"]
    assert [row["row"] for row in flagged] == [3]
    assert world.call("PUT", f"/v1/jobs/{job}/results/999/flag", json={}).status_code == 404
    assert world.call("DELETE", f"/v1/jobs/{job}/results/3/flag").status_code == 204
    assert world.call("GET", f"/v1/jobs/{job}/flags").json() == []


def test_a_method_beside_is_a_job_of_its_own_submitted_once(world: World) -> None:
    job = world.explained(metrics=["deletion"], name="first")
    path = f"/v1/jobs/{job}/comparisons"
    world.explained(target="coffee", name="another target")
    offered = world.call("GET", path, "read").json()
    assert [(m["method"], m["own"], m["job"], m["reason"]) for m in offered["methods"]] == [
        ("paper", True, None, None), ("released", False, None, None),
        ("tuned", False, None, None), ("grad-cam", False, None, None),
    ]  # fmt: skip
    assert [each["name"] for each in offered["jobs"]] == ["another target"]
    assert world.call("POST", path, "read", json={"method": "tuned"}).status_code == 403
    assert world.call("POST", path, json={"method": "paper"}).status_code == 422
    assert world.call("POST", path, json={"method": "lime"}).status_code == 422
    made = world.call("POST", path, "submit", json={"method": "grad-cam"})
    assert made.status_code == 201, made.text
    other = made.json()["job"]
    assert (other["owner"], other["name"], other["preset"]) == ("submit-test", "first: grad-cam", "tuned")
    recipe = other["config"]["recipe"]
    assert (recipe["start"], recipe["steps_inversion"], recipe["steps_class"]) == ("grad-cam", 0, 0)
    same = ("dataset", "model", "target", "metrics")
    first = world.call("GET", f"/v1/jobs/{job}").json()["config"]
    assert [other["config"][name] for name in same] == [first[name] for name in same]
    again = world.call("POST", path, json={"method": "grad-cam"})
    assert (again.status_code, again.json()["job"]["id"]) == (200, other["id"])
    # From either side they are each other's companions.
    back = world.call("GET", f"/v1/jobs/{other['id']}/comparisons").json()["methods"]
    assert [(m["own"], m["job"] and m["job"]["id"]) for m in back if m["method"] in ("paper", "grad-cam")] == [
        (False, job), (True, None),
    ]  # fmt: skip
    # One that was cancelled is no use; and a model that changed under its name cannot be compared.
    world.call("DELETE", f"/v1/jobs/{other['id']}")
    anew = world.call("POST", path, json={"method": "grad-cam"})
    assert (anew.status_code, anew.json()["job"]["id"] != other["id"]) == (201, True)
    ledger.save_model(world.database, MODEL, "1" * 64, model_record() | {"digest": "1" * 64}, actor="test")
    refused = world.call("POST", path, json={"method": "tuned"})
    ledger.save_model(world.database, MODEL, DIGEST, model_record(), actor="test")
    assert (refused.status_code, "registered again" in refused.json()["detail"]) == (422, True)


def test_a_deleted_job_leaves_nothing_but_its_audit(one_world: World) -> None:
    job = one_world.explained()
    assert list(one_world.bucket.list(f"parts/{job}/"))
    assert one_world.call("DELETE", f"/v1/jobs/{job}/data").json()["state"] == "deleted"
    assert not list(one_world.bucket.list(f"parts/{job}/"))
    assert one_world.call("GET", f"/v1/jobs/{job}").status_code == 404
    assert queries.list_audit(one_world.database, job_id=job)[0]["action"] == "job.deleted"


def test_the_audit_says_who_asked_for_what_with_which_weights(one_world: World) -> None:
    job = one_world.explained(metrics=["deletion"])
    kept = one_world.call("GET", f"/v1/jobs/{job}/config")
    assert kept.headers["content-disposition"] == f'attachment; filename="gfi-{job}.json"'
    exported = kept.json()
    frozen = json.dumps(exported["config"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(frozen.encode()).hexdigest() == exported["config_digest"]
    assert exported["model"]["digest"] == exported["config"]["model"]["digest"] == DIGEST
    one_world.call("DELETE", f"/v1/jobs/{job}/data")  # the job is gone, its record stays
    said = one_world.call("GET", "/v1/audit").json()["items"]
    (submitted,) = [each for each in said if each["action"] == "job.submitted"]
    assert (submitted["actor"], submitted["job_id"]) == ("admin-test", job)
    assert submitted["details"] == {
        "config_digest": exported["config_digest"], "dataset": f"folder:{one_world.photographs}",
        "model": MODEL, "model_digest": DIGEST,
    }  # fmt: skip


def test_the_time_left_is_a_range_that_narrows(one_world: World) -> None:
    job = one_world.planned(total=400, size=20)
    doubts = []
    for _ in range(3):
        one_world.explain_shard()
        seen = one_world.call("GET", f"/v1/jobs/{job}").json()["progress"]
        assert seen["eta_low_s"] < seen["eta_s"] < seen["eta_high_s"]
        doubts.append((seen["eta_high_s"] - seen["eta_s"]) / seen["eta_s"])
    assert doubts == sorted(doubts, reverse=True)
    # A long past says nothing of the present pace: few images in the last minutes are few, whatever was done before.
    progress = replace(queries.job_progress(one_world.database, job), rate=0.02, eta_s=1000.0)
    slow = ProgressOut.of(replace(progress, done=1_000_000))
    assert slow.eta_high_s is not None
    assert slow.eta_high_s > 1300
    assert ProgressOut.of(replace(progress, done=1_000_000, rate=100.0)).eta_high_s < 1100  # type: ignore[operator]


def test_a_picture_is_drawn_once(one_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = one_world.explained()
    drawn = []
    draw = drawing.overlay_png
    monkeypatch.setattr(drawing, "overlay_png", lambda *a, **k: drawn.append(k["size"]) or draw(*a, **k))
    ask = [
        one_world.call("GET", f"/v1/jobs/{job}/results/1/overlay.png?size={size}")
        for size in (64, 64, 80, 64)
    ]
    assert ask[0].content == ask[1].content == ask[3].content != ask[2].content
    assert drawn == [64, 80]


def test_validate_and_estimate_start_nothing(one_world: World) -> None:
    body = {"dataset": str(one_world.photographs), "model": "tiny", "metrics": ["deletion"]}
    valid = one_world.call("POST", "/v1/jobs/validate", "submit", json=body)
    assert valid.status_code == 200, valid.text
    assert len(valid.json()["config_digest"]) == 64
    cost = one_world.call("POST", "/v1/jobs/estimate", "submit", json=body).json()
    assert (cost["images"], cost["complete"], cost["device_seconds"]) == (len(one_world.names), True, None)
    assert cost["bucket_bytes"] > cost["images"] * 14 * 14 * 4
    wrong = one_world.call("POST", "/v1/jobs/validate", "submit", json=body | {"layers": "features.9"})
    assert wrong.status_code == 422
    assert "features.4" in wrong.json()["detail"]
    assert one_world.call("GET", "/v1/jobs").json()["items"] == []

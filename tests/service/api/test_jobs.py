"""Submitting, listing, cancelling, retrying and deleting jobs."""

import pytest
from click.testing import CliRunner

from gfi.cli.main import gfi
from gfi.domain.job import JobConfig
from gfi.store import ledger, queries
from tests.service.api.conftest import MODEL, World


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
    # The same configuration without a key returns the active job.
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
    matching = one_world.call("GET", "/v1/jobs", params={"search": "night 3"}).json()["items"]
    assert [job["id"] for job in matching] == [ids[3]]
    tagged = one_world.submit(tags=["audit"]).json()["job"]
    assert tagged["tags"] == ["audit"]
    assert [
        job["id"] for job in one_world.call("GET", "/v1/jobs", params={"tag": "audit"}).json()["items"]
    ] == [tagged["id"]]
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


def test_a_deleted_job_leaves_nothing_but_its_audit(one_world: World) -> None:
    job = one_world.explained()
    assert list(one_world.bucket.list(f"parts/{job}/"))
    assert one_world.call("DELETE", f"/v1/jobs/{job}/data").json()["state"] == "deleted"
    assert not list(one_world.bucket.list(f"parts/{job}/"))
    assert one_world.call("GET", f"/v1/jobs/{job}").status_code == 404
    assert queries.list_audit(one_world.database, job_id=job)[0]["action"] == "job.deleted"


def test_validate_and_estimate_start_nothing(one_world: World) -> None:
    body = {"dataset": str(one_world.photographs), "model": "tiny", "metrics": ["deletion"]}
    valid = one_world.call("POST", "/v1/jobs/validate", "submit", json=body)
    assert valid.status_code == 200, valid.text
    assert len(valid.json()["config_digest"]) == 64
    cost = one_world.call("POST", "/v1/jobs/estimate", "submit", json=body).json()
    assert (cost["images"], cost["complete"], cost["device_seconds"]) == (len(one_world.names), True, None)
    assert cost["bucket_bytes"] > cost["images"] * 14 * 14 * 4
    assert cost["speed"] is None
    assert cost["notes"]
    wrong = one_world.call("POST", "/v1/jobs/validate", "submit", json=body | {"layers": "features.9"})
    assert wrong.status_code == 422
    assert "features.4" in wrong.json()["detail"]
    assert one_world.call("GET", "/v1/jobs").json()["items"] == []


def test_an_estimate_plans_for_a_deadline_with_prices_of_the_request(one_world: World) -> None:
    body = {"dataset": str(one_world.photographs), "model": "tiny", "preset": "paper"}
    config = one_world.call("POST", "/v1/jobs/validate", "submit", json=body).json()["config"]
    ledger.save_rate(one_world.database, JobConfig.from_json(config).work_digest(), "cpu", 2.0)
    wanted = {"images": 7200, "deadline_s": 600, "workers": 3, "price_device_hour": 0.5, "price_put": 10}
    plan = one_world.call("POST", "/v1/jobs/estimate", "submit", json=body | wanted).json()
    assert (plan["images"], plan["complete"], plan["images_per_s"]) == (7200, True, 2.0)
    assert plan["speed"]["source"] == "measured"
    assert plan["workers"] == [{"workers": 3, "seconds_low": 1200.0, "seconds_high": 1200.0}]
    assert plan["workers_for_deadline"] == [6, 6]
    assert plan["device_usd"] == [0.5, 0.5]
    assert plan["request_usd"] == pytest.approx(plan["put_requests"] / 100)
    for wrong in ({"workers": 0}, {"deadline_s": -1}, {"price_put": -1}, {"price": 3}):
        refused = one_world.call("POST", "/v1/jobs/estimate", "submit", json=body | wrong)
        assert refused.status_code == 422, wrong


def test_a_retry_names_statuses_and_classes_of_errors(one_world: World) -> None:
    job = one_world.explained(broken=2)
    body = {"statuses": ["error"], "classes": ["unreadable"]}
    assert one_world.call("POST", f"/v1/jobs/{job}/retry", json=body).status_code == 202
    (retried,) = [
        entry
        for entry in queries.list_audit(one_world.database, job_id=job)
        if entry["action"] == "job.retried"
    ]
    assert body.items() <= retried["details"].items()


def _upload(world: World) -> tuple[str, str]:
    """An ended job over one uploaded photograph: its id, and the bucket prefix of the upload."""
    files = [("images", ("a.jpg", (world.photographs / world.names[0]).read_bytes(), "image/jpeg"))]
    sent = world.call("POST", "/v1/uploads", "submit", files=files, data={"model": MODEL})
    assert sent.status_code == 201, sent.text
    job = sent.json()["job"]
    world.call("DELETE", f"/v1/jobs/{job['id']}")
    return job["id"], f"uploads/{job['dataset'].removeprefix('upload:')}/"


@pytest.mark.parametrize("through", ["API", "command line"])
def test_a_deleted_job_takes_its_parts_and_its_upload_with_it(
    one_world: World, through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, uploaded = _upload(one_world)
    one_world.bucket.put(f"parts/{job}/x.parquet", b"part")
    one_world.bucket.put(f"jobs/{job}/summary.json", b"{}")
    prefixes = [f"parts/{job}/", f"jobs/{job}/", uploaded]
    assert all(list(one_world.bucket.list(prefix)) for prefix in prefixes)
    if through == "API":
        assert one_world.call("DELETE", f"/v1/jobs/{job}/data", "submit").status_code == 200
    else:
        monkeypatch.delenv("GFI_API_URL", raising=False)
        done = CliRunner().invoke(gfi, ["jobs", "delete", job, "--yes"])
        assert done.exit_code == 0, done.output
    assert [list(one_world.bucket.list(prefix)) for prefix in prefixes] == [[], [], []]
    assert one_world.call("GET", f"/v1/jobs/{job}").status_code == 404


def test_an_upload_stays_while_a_comparison_explains_it(one_world: World) -> None:
    job, uploaded = _upload(one_world)
    other = one_world.call("POST", f"/v1/jobs/{job}/methods", json={"method": "rise"}).json()["job"]["id"]
    one_world.call("DELETE", f"/v1/jobs/{other}")
    assert one_world.call("DELETE", f"/v1/jobs/{job}/data").status_code == 200
    assert list(one_world.bucket.list(uploaded)), "the comparison needs the photograph"
    assert one_world.call("DELETE", f"/v1/jobs/{other}/data").status_code == 200
    assert not list(one_world.bucket.list(uploaded))

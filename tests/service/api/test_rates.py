"""Limits of a token."""

import time

import pytest
import redis
from fastapi.testclient import TestClient

from gfi.api import create_app, rates
from gfi.api.rates import Rates
from gfi.cli.servers import Server
from tests.service.api.conftest import World


def test_a_token_has_limits_of_its_own(one_world: World) -> None:
    limits = {"requests_per_minute": 3, "max_active_jobs": 1, "max_images": 5}
    made = one_world.call(
        "POST", "/v1/tokens", json={"name": "small", "scopes": ["submit"], "limits": limits}
    )
    one_world.tokens["small"] = made.json()["token"]
    refused = one_world.submit("small")
    assert (refused.status_code, "5 images" in refused.json()["detail"]) == (429, True)
    assert one_world.call("GET", "/v1/jobs", "small").status_code == 200
    assert one_world.call("GET", "/v1/jobs", "small").status_code == 200
    spent = one_world.call("GET", "/v1/jobs", "small")
    assert spent.status_code == 429
    assert int(spent.headers["retry-after"]) >= 1


def test_uploads_tests_and_comparisons_have_the_limits_of_jobs(one_world: World) -> None:
    made = one_world.call(
        "POST",
        "/v1/tokens",
        json={"name": "one", "scopes": ["submit"], "limits": {"max_active_jobs": 1}},
    )
    one_world.tokens["one"] = made.json()["token"]
    job = one_world.submit("one").json()["job"]["id"]
    photo = next(path for path in one_world.photographs.iterdir() if path.suffix == ".jpg").read_bytes()
    before = [entry.key for entry in one_world.bucket.list("uploads/")]
    for path, how in (
        ("/v1/jobs/test", {"json": {"dataset": str(one_world.photographs), "model": "tiny"}}),
        ("/v1/uploads", {"files": {"images": ("a.jpg", photo)}, "data": {"model": "tiny"}}),
        (f"/v1/jobs/{job}/methods", {"json": {"method": "released"}}),
    ):
        refused = one_world.call("POST", path, "one", **how)
        assert (refused.status_code, "1 active jobs" in refused.json()["detail"]) == (429, True), refused.text
    assert [entry.key for entry in one_world.bucket.list("uploads/")] == before, "nothing stays behind"


def test_requests_are_counted_over_all_processes(
    one_world: World, monkeypatch: pytest.MonkeyPatch, valkey: Server
) -> None:
    limits = {"requests_per_minute": 4}
    made = one_world.call(
        "POST", "/v1/tokens", json={"name": "shared", "scopes": ["read"], "limits": limits}
    ).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    with TestClient(create_app()) as other:
        clients = [one_world.client, other]
        statuses = [clients[at % 2].get("/v1/me", headers=headers).status_code for at in range(8)]
    assert statuses == [200] * 4 + [429] * 4
    with redis.Redis.from_url(valkey.url) as client:
        keys = [key for key in client.scan_iter() if made["id"] in key.decode()]
        assert keys, "Redis counts them"
        assert all(0 < client.pttl(key) <= 120_000 for key in keys), "every key expires"
    # While Redis does not answer each process counts by itself.
    monkeypatch.setenv("GFI_REDIS_URL", "redis://127.0.0.1:1/0")
    with TestClient(create_app()) as alone:
        statuses = [alone.get("/v1/me", headers=headers).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2


def test_a_request_is_allowed_again_a_minute_after_the_one_it_replaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 59.0
    monkeypatch.setattr(time, "time", lambda: now)
    counted = Rates()
    assert [counted.take(None, "a", 3) for _ in range(3)] == [0.0] * 3
    now = 61.0  # a new minute of the clock alone allows no request
    assert counted.take(None, "a", 3) == pytest.approx(58.0)
    assert counted.take(None, "b", 3) == 0.0  # another token
    now = 119.5
    assert [counted.take(None, "a", 3) > 0 for _ in range(4)] == [False, False, False, True]


def test_redis_is_not_asked_again_at_every_request_while_it_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    connected: list[str] = []

    def refuse(url: str, **_: object) -> None:
        connected.append(url)
        raise ConnectionError

    monkeypatch.setattr(rates, "storage_from_string", refuse)
    counted = Rates()
    assert [counted.take("redis://x", "a", 100) for _ in range(5)] == [0.0] * 5
    assert len(connected) == 1
    now += rates.RETRY_S
    counted.take("redis://x", "a", 100)
    assert len(connected) == 2

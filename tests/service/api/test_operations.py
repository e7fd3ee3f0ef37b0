"""Progress streams, webhooks, datasets, models, schedules, workers, figures, the typed client."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from gfi.api import create_app, webhook_delivery
from gfi.api.config import ApiSettings
from gfi.client import ApiError, Client
from gfi.store import ledger
from gfi.store.tables import outbox
from gfi.store.tables import schedules as schedules_table
from scheduler.schedules import fire_due
from tests.service.api.conftest import World, serving


def test_a_stream_tells_progress_until_the_end(one_world: World) -> None:
    job = one_world.planned(size=4)
    events: list[tuple[str, Any]] = []
    headers = {"Authorization": f"Bearer {one_world.tokens['read']}"}
    with serving() as url, httpx.stream("GET", f"{url}/v1/jobs/{job}/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told = [data["progress"]["done"] for _, data in events]
                events.append((kind, json.loads(line.removeprefix("data: "))))
                if events[-1][1]["progress"]["done"] not in told:  # the next shard, once this one was told of
                    one_world.explain_shard()
                    ledger.finish_jobs(one_world.database)
    done = [data["progress"]["done"] for _, data in events]
    assert list(dict.fromkeys(done)) == [0, 4, 8, len(one_world.names)]
    assert [kind for kind, _ in events[:-1]] == ["progress"] * (len(events) - 1)
    assert events[-1][0] == "end"
    assert events[-1][1]["state"] == "partial"
    assert one_world.call("GET", "/v1/jobs/none/events").status_code == 404


def test_streams_are_counted(one_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = one_world.planned()
    headers = {"Authorization": f"Bearer {one_world.tokens['read']}"}
    monkeypatch.setenv("GFI_API_MAX_STREAMS", "2")
    with serving() as url, httpx.Client(base_url=url, headers=headers) as client:
        path = f"/v1/jobs/{job}/events"

        def status() -> int:
            with client.stream("GET", path) as answer:
                return answer.status_code

        with client.stream("GET", path) as one, client.stream("GET", path) as other:
            begun = [one.iter_lines(), other.iter_lines()]
            assert [next(lines) for lines in begun] == ["retry: 2000"] * 2
            assert status() == 429
        _until(lambda: status() == 200)  # a reader that went away makes room


def _until(true: Callable[[], Any], patience_s: float = 20.0) -> None:
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


@pytest.fixture
def listener() -> Iterator[Any]:
    """A server that takes webhooks: the second time it is asked. What is posted to /elsewhere it leads to itself."""

    class Taking(BaseHTTPRequestHandler):
        taken: list[tuple[dict[str, str], bytes]] = []  # noqa: RUF012
        refusals = 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/elsewhere":
                self.send_response(307)
                self.send_header("Location", "/hook")
            elif Taking.refusals:
                Taking.refusals -= 1
                self.send_response(503)
            else:
                Taking.taken.append((dict(self.headers), body))
                self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_a_webhook_is_signed_and_tried_again(
    one_world: World, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://localhost:{listener.server_port}/hook?x=1"
    refused = one_world.submit(webhook=url)
    assert (refused.status_code, "not set up" in refused.json()["detail"]) == (422, True)
    monkeypatch.setenv("GFI_WEBHOOK_HOSTS", "localhost")
    monkeypatch.setenv("GFI_WEBHOOK_SECRET", "s3cret")
    monkeypatch.setenv("GFI_WEBHOOK_PRIVATE", "true")
    monkeypatch.setattr(webhook_delivery, "deliver_loop", lambda *_: None)
    app = create_app()
    with TestClient(app) as client:
        one_world.client = client
        job = one_world.submit(webhook=url).json()["job"]
        assert job["has_webhook"]
        one_world.call("DELETE", f"/v1/jobs/{job['id']}")
        assert webhook_delivery.send_due(app.state.context) == 1
        assert webhook_delivery.send_due(app.state.context) == 0  # it waits
        assert listener.RequestHandlerClass.taken == []
        with one_world.database.begin() as connection:
            connection.execute(sa.update(outbox).values(not_before=0))
        assert webhook_delivery.send_due(app.state.context) == 1
        ((headers, body),) = listener.RequestHandlerClass.taken
    assert json.loads(body)["job"] == job["id"]
    assert json.loads(body)["state"] == "cancelled"
    mac = hmac.new(b"s3cret", headers["X-GFI-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-GFI-Signature"] == f"sha256={mac}"
    assert headers["Host"] == f"localhost:{listener.server_port}"


def test_a_webhook_follows_no_redirect(listener: Any) -> None:
    listener.RequestHandlerClass.refusals = 0
    settings = ApiSettings(webhook_hosts="localhost", webhook_secret="s", webhook_private=True)  # type: ignore[arg-type]
    message = {"id": "1", "kind": "job.finished", "job_id": "j", "payload": {}}
    address = f"http://localhost:{listener.server_port}"
    with pytest.raises(webhook_delivery.Undeliverable, match="answered 307"):
        webhook_delivery.deliver(message, f"{address}/elsewhere", settings)
    assert listener.RequestHandlerClass.taken == []
    webhook_delivery.deliver(message, f"{address}/hook", settings)
    assert len(listener.RequestHandlerClass.taken) == 1


def test_a_schedules_jobs_inherit_its_webhook(
    one_world: World, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.RequestHandlerClass.refusals = 0
    url = f"http://localhost:{listener.server_port}/secret-path"
    job = {"dataset": str(one_world.photographs), "model": "tiny", "webhook": url}
    body = {"name": "nightly", "cron": "* * * * *", "job": job}
    refused = one_world.call("POST", "/v1/schedules", "submit", json=body)
    assert (refused.status_code, "not set up" in refused.json()["detail"]) == (422, True)
    monkeypatch.setenv("GFI_WEBHOOK_HOSTS", "localhost")
    monkeypatch.setenv("GFI_WEBHOOK_SECRET", "s3cret")
    monkeypatch.setenv("GFI_WEBHOOK_PRIVATE", "true")
    with TestClient(create_app()) as client:  # with its courier
        one_world.client = client
        evil = body | {"job": job | {"webhook": "https://evil.example/"}}
        assert one_world.call("POST", "/v1/schedules", "submit", json=evil).status_code == 422
        made = one_world.call("POST", "/v1/schedules", "submit", json=body).json()
        assert made["has_webhook"]
        assert "secret-path" not in json.dumps(one_world.call("GET", "/v1/schedules", "read").json())
        with one_world.database.begin() as connection:
            older = {name: schedules_table.c[name] - 90 for name in ("created_at", "next_due")}
            connection.execute(sa.update(schedules_table).values(older))
        (fired, *_) = fire_due(one_world.database, one_world.settings)
        assert one_world.call("GET", f"/v1/jobs/{fired}").json()["has_webhook"]
        one_world.call("DELETE", f"/v1/jobs/{fired}")
        _until(lambda: listener.RequestHandlerClass.taken)
    ((_, told),) = listener.RequestHandlerClass.taken
    assert (json.loads(told)["job"], json.loads(told)["state"]) == (fired, "cancelled")


def test_a_dataset_is_previewed_registered_and_named(one_world: World) -> None:
    spec = str(one_world.photographs)
    preview = one_world.call(
        "POST", "/v1/datasets/preview", "submit", json={"dataset": spec, "limit": 3}
    ).json()
    assert (preview["kind"], preview["images"], len(preview["items"])) == ("folder", 10, 3)
    photo = one_world.call("GET", "/v1/datasets/photo", params={"dataset": spec, "key": one_world.names[0]})
    assert photo.headers["content-type"] == "image/jpeg"
    name = f"d{one_world.database.url.database[-8:-3]}".replace("/", "-").replace("_", "-").lower()
    made = one_world.call("POST", "/v1/datasets", "submit", json={"name": name, "dataset": spec})
    assert made.status_code == 201, made.text
    assert one_world.call("POST", "/v1/datasets", json={"name": name, "dataset": spec}).status_code == 409
    assert name in [each["name"] for each in one_world.call("GET", "/v1/datasets").json()["registered"]]
    job = one_world.submit(dataset=f"@{name}")
    assert (job.status_code, job.json()["job"]["dataset"]) == (201, f"folder:{spec}")
    assert one_world.call("DELETE", f"/v1/datasets/{name}").status_code == 204
    assert one_world.submit(dataset=f"@{name}").status_code == 422
    assert one_world.submit(dataset="@../x").status_code == 422


def test_models_show_what_registration_read(one_world: World) -> None:
    (model,) = one_world.call("GET", "/v1/models").json()
    assert (model["reference"], model["classes"], model["parameters"]) == ("tiny", 3, 1000)
    layers = one_world.call("GET", "/v1/models/tiny/layers").json()
    assert [each["name"] for each in layers] == ["features.2", "features.4"]
    assert one_world.call("GET", "/v1/models/vgg99").status_code == 404
    refused = one_world.call("POST", "/v1/models", json={"reference": "torchvision:vgg99"})
    assert refused.status_code == 422
    assert "vgg99" in refused.json()["detail"]


def test_an_administrator_registers_a_model_by_its_name(one_world: World) -> None:
    reference = "torchvision:squeezenet1_1@seed:0"  # a name the service knows, neither a path nor code
    assert one_world.call("POST", "/v1/models", "submit", json={"reference": reference}).status_code == 403
    made = one_world.call("POST", "/v1/models", json={"reference": reference})
    assert made.status_code == 201, made.text
    model = made.json()
    assert (model["reference"], model["classes"], model["input_size"]) == (reference, 1000, [224, 224])
    assert len(model["digest"]) == 64
    layers = one_world.call("GET", f"/v1/models/{reference}/layers", "read").json()
    assert "features.12" in [each["name"] for each in layers]
    assert one_world.submit("submit", model=reference).status_code == 201
    who = one_world.call("GET", "/v1/audit").json()["items"]
    assert ("admin-test", "model.registered") in [(each["actor"], each["action"]) for each in who]
    assert one_world.call("DELETE", f"/v1/models/{reference}").status_code == 204


def test_schedules_are_added_listed_and_removed(one_world: World) -> None:
    job = {"dataset": str(one_world.photographs), "model": "tiny"}
    body = {"name": "nightly", "cron": "30 2 * * *", "zone": "Europe/Berlin", "job": job}
    made = one_world.call("POST", "/v1/schedules", "submit", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["next_at"] > one_world.database.now()
    assert one_world.call("POST", "/v1/schedules", json=body).status_code == 409
    assert one_world.call("POST", "/v1/schedules", json=body | {"name": "x", "cron": "x"}).status_code == 422
    assert (
        one_world.call("POST", "/v1/schedules", json=body | {"name": "x", "zone": "Mars"}).status_code == 422
    )
    assert [each["name"] for each in one_world.call("GET", "/v1/schedules").json()] == ["nightly"]
    assert one_world.call("DELETE", "/v1/schedules/nightly", "submit").status_code == 204
    assert one_world.call("DELETE", "/v1/schedules/nightly").status_code == 404


def test_workers_queues_and_figures(one_world: World) -> None:
    facts = {"id": "w:1", "device": "cpu", "queues": ["explain"], "rate": 1.5, "memory_mib": 2048.0}
    ledger.heartbeat(one_world.database, facts)
    job = one_world.planned(name="by hand")
    (worker,) = one_world.call("GET", "/v1/workers").json()
    assert (worker["id"], worker["alive"], worker["job_id"]) == ("w:1", True, None)
    shard = one_world.call("GET", f"/v1/jobs/{job}/shards").json()["items"][0]["id"]
    ledger.heartbeat(one_world.database, facts | {"shard_id": shard})
    (worker,) = one_world.call("GET", "/v1/workers").json()
    assert (worker["shard_id"], worker["job_id"], worker["job_name"]) == (shard, job, "by hand")
    assert (worker["rate"], worker["memory_mib"]) == (1.5, 2048.0)
    assert worker["silent_s"] < 60
    assert one_world.call("GET", "/v1/queues").json()["explain"]["pending"] == 2
    figures = one_world.call("GET", "/metrics", "read")
    assert 'gfi_jobs{state="running"} 1.0' in figures.text
    assert 'gfi_worker_up{device="cpu",worker="w:1"} 1.0' in figures.text
    assert one_world.client.get("/metrics").status_code == 401


def test_readiness_says_what_is_wrong(one_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GFI_REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    with TestClient(create_app()) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] == "ok"
        assert "not answering" in answer.json()["checks"]["redis"]
        assert "hunter2" not in answer.text
        assert client.get("/livez").status_code == 200


def test_the_typed_client_submits_waits_and_reads(
    one_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def through(request: httpx.Request) -> httpx.Response:
        answer = one_world.client.request(
            request.method, str(request.url), headers=dict(request.headers), content=request.read()
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

    client = Client("http://testserver", one_world.tokens["submit"], transport=httpx.MockTransport(through))
    job = client.submit(str(one_world.photographs), "tiny", name="from a notebook")
    assert job.state == "queued"
    assert (job.progress.state, job.progress.done, job.progress.eta_high_s) == ("queued", 0, None)
    with pytest.raises(TimeoutError):
        job.wait(timeout_s=0.0, every_s=0.0)
    finished = client.job(one_world.explained(name="done")).wait(progress=True)
    frame = finished.results().to_pandas()
    assert len(frame) == len(one_world.names)
    assert frame.loc[0, "status"] == "ok"
    assert finished.mask(0).shape == (64, 64)
    assert finished.overlay(0, size=64).startswith(b"\x89PNG")
    assert "10 of 10 images" in capsys.readouterr().err
    assert [each.id for each in client.jobs(search="done")] == [finished.id]
    assert client.job(finished.id).beside("grad-cam").id == finished.beside("grad-cam").id != finished.id
    assert client.submit(str(one_world.photographs), "tiny", new=True).cancel().state == "cancelled"
    with pytest.raises(ApiError, match="not registered") as refused:
        client.submit(str(one_world.photographs), "vgg99")
    assert refused.value.status == 422
    away = Client(
        "http://testserver", "x", transport=httpx.MockTransport(lambda _: httpx.Response(403, json={}))
    )
    with pytest.raises(ApiError):
        away.job("x")

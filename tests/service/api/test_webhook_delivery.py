"""Webhooks: signed, sent again, and never to an address inside the network."""

import contextlib
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from gfi.api import create_app, webhook_delivery
from gfi.api.config import ApiSettings
from gfi.jobs.notify_addresses import check_webhook
from gfi.store import public_hosts, queries
from gfi.store.tables import outbox
from gfi.store.tables import schedules as schedules_table
from scheduler.schedules import fire_due
from tests.service.api.conftest import (
    World,
    wait_until,
    webhook_settings,
)


@pytest.fixture
def listener() -> Iterator[Any]:
    """A server that refuses the first webhook and takes the others; it redirects /elsewhere to /hook."""

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
        assert webhook_delivery.send_due(app.state.context) == 0  # it waits for its next attempt
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
    with TestClient(create_app()) as client:  # with its background threads
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
        wait_until(lambda: listener.RequestHandlerClass.taken)
    ((_, told),) = listener.RequestHandlerClass.taken
    assert (json.loads(told)["job"], json.loads(told)["state"]) == (fired, "cancelled")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.8",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::ffff:10.0.0.1",
        "fd00::1",
        "fe80::1",
        "fec0::1",
        "2002:a00:8::",
        "64:ff9b::a00:8",
        "::a00:8",
    ],
)
def test_a_webhook_never_reaches_a_private_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    family = 10 if ":" in address else 2
    public = (2, 1, 6, "", ("93.184.215.14", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [public, (family, 1, 6, "", (address, 443))])
    parts = check_webhook("https://hooks.example.org/x", webhook_settings())
    with pytest.raises(public_hosts.NotReachable, match="not public"):
        public_hosts.resolve(parts, False)
    assert public_hosts.resolve(parts, True) == "93.184.215.14"


def test_a_webhook_goes_to_the_address_that_was_checked_whatever_its_name_becomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def rebound(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"  # public at first, private from then on
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 1))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    message = {"id": "1", "kind": "job.finished", "job_id": "j", "payload": {}}
    with pytest.raises(webhook_delivery.Undeliverable):
        webhook_delivery.deliver(message, "https://hooks.example.org/x", webhook_settings())
    assert asked == [
        "hooks.example.org",
        "93.184.215.14",
    ]  # the second time to connect, to the checked address


def test_a_message_that_cannot_be_sent_holds_up_no_other_and_is_given_up(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken first each time, its error ended the round, and no message behind it was ever sent."""
    sent, failing = [], "1"

    def send(context: Any, message: Any, address: str) -> None:
        if message["id"] == failing:
            raise KeyError("verdict")
        sent.append(message["id"])

    monkeypatch.setattr(webhook_delivery, "_CHANNELS", {"webhook": send})
    monkeypatch.setattr(webhook_delivery, "_address", lambda *_: "https://hook.example/")
    monkeypatch.setattr(webhook_delivery, "deliver_loop", lambda *_: None)
    rows = [
        {"id": id_, "job_id": "j", "kind": "k", "channel": "webhook", "payload": {}, "created_at": 0.0}
        for id_ in ("1", "2")
    ]
    with one_world.database.begin() as connection:
        connection.execute(sa.insert(outbox), rows)
    app = create_app()
    with TestClient(app):
        for _ in range(webhook_delivery.ATTEMPTS):
            webhook_delivery.send_due(app.state.context)
            with one_world.database.begin() as connection:
                connection.execute(sa.update(outbox).values(not_before=0))
        assert webhook_delivery.send_due(app.state.context) == 0
    assert sent == ["2"]
    actions = [entry["action"] for entry in queries.list_audit(one_world.database, job_id="j")]
    assert actions == ["job.webhook_failed"]


def test_a_message_is_held_only_while_it_is_sent(one_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty were taken together for a minute. With a receiver that takes ten seconds for each, those at the end became
    due again before their turn, and were sent twice."""
    held: list[list[str]] = []
    due = sa.select(outbox.c.id).where(outbox.c.not_before > 0, outbox.c.sent_at.is_(None))

    def send(context: Any, message: Any, address: str) -> None:
        with one_world.database.read() as connection:
            held.append(list(connection.execute(due).scalars()))

    monkeypatch.setattr(webhook_delivery, "_CHANNELS", {"webhook": send})
    monkeypatch.setattr(webhook_delivery, "_address", lambda *_: "https://hook.example/")
    monkeypatch.setattr(webhook_delivery, "deliver_loop", lambda *_: None)
    rows = [
        {"id": id_, "job_id": "j", "kind": "k", "channel": "webhook", "payload": {}, "created_at": 0.0}
        for id_ in ("1", "2", "3")
    ]
    with one_world.database.begin() as connection:
        connection.execute(sa.insert(outbox), rows)
    app = create_app()
    with TestClient(app):
        assert webhook_delivery.send_due(app.state.context) == 3
    assert held == [["1"], ["2"], ["3"]]


def test_a_host_that_answers_a_byte_at_a_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte began the timeout anew, so one host kept the messages of all others waiting."""
    monkeypatch.setattr(webhook_delivery, "WHOLE_S", 0.3)
    ended = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not ended.wait(0.02):
                connection.sendall(b"a")

    settings = ApiSettings(webhook_hosts="localhost", webhook_secret="s", webhook_private=True)  # type: ignore[arg-type]
    message = {"id": "1", "kind": "job.finished", "job_id": "j", "payload": {}}
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,), daemon=True)
        thread.start()
        address = f"http://localhost:{server.getsockname()[1]}/hook"
        with pytest.raises(webhook_delivery.Undeliverable, match=r"localhost took longer than 0\.3 s"):
            webhook_delivery.deliver(message, address, settings)
        ended.set()
        thread.join()

"""Celery's settings against a real Redis-protocol server."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery.contrib.testing.worker import start_worker

from gfi.cli.servers import Server, free_port, start_valkey
from gfi.domain.queues import EXPLAIN
from gfi.store import broker
from gfi.store.broker import make_celery, ping, publish, queue_length, redact
from gfi.store.errors import StoreError, Transient
from gfi.store.settings import Settings
from tests.speed import slowness


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with a password for one test, which freezes, empties and kills it."""
    server = start_valkey(tmp_path, free_port(), password='hu"sh h')
    yield server
    server.kill()


def app_for(server: Server):
    return make_celery(Settings(redis_url=server.url), "test")


def test_messages_are_json_and_wait_in_a_queue_of_a_plain_name(server: Server) -> None:
    app = app_for(server)
    assert publish(app, EXPLAIN, ["explain", "job-0"], "explain")
    client = redis.Redis.from_url(server.url)
    assert client.llen("explain") == 1
    assert b'"content-type": "application/json"' in client.lindex("explain", 0)
    assert app.conf.accept_content == ["json"]


def test_after_flushall_messages_arrive_again(server: Server) -> None:
    app = app_for(server)
    publish(app, EXPLAIN, ["explain", "job-0"], "explain")
    redis.Redis.from_url(server.url).flushall()
    publish(app, EXPLAIN, ["explain", "job-1"], "explain")
    assert queue_length(app, "explain") == 1


def test_a_frozen_server_is_transient_in_seconds(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "SOCKET_TIMEOUT_S", 0.3)
    app = app_for(server)
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(Transient):
        publish(app, EXPLAIN, ["explain", "job-0"], "explain")
    assert time.monotonic() - began < 5.0 * slowness()
    os.kill(server.pid, signal.SIGCONT)
    assert publish(app, EXPLAIN, ["explain", "job-0"], "explain")


def test_a_full_server_refuses_instead_of_dropping_messages(server: Server) -> None:
    app = app_for(server)
    client = redis.Redis.from_url(server.url)
    publish(app, EXPLAIN, ["explain", "job-0"], "explain")
    client.config_set("maxmemory", 1)
    with pytest.raises(Transient, match="maxmemory"):
        publish(app, EXPLAIN, ["explain", "job-1"], "explain")
    client.config_set("maxmemory", 0)
    assert queue_length(app, "explain") == 1


def test_a_server_that_was_killed_comes_back_with_its_messages(server: Server, tmp_path: Path) -> None:
    app = app_for(server)
    publish(app, EXPLAIN, ["explain", "job-0"], "explain")
    client = redis.Redis.from_url(server.url)
    while client.info("persistence")["aof_buffer_length"]:
        time.sleep(0.01)
    server.kill()
    with pytest.raises(Transient, match="not answering") as caught:
        publish(app, EXPLAIN, ["explain", "job-1"], "explain")
    assert "sh h" not in str(caught.value)
    again = start_valkey(tmp_path, server.port, password='hu"sh h')
    try:
        assert queue_length(app, "explain") == 1
        assert publish(app, EXPLAIN, ["explain", "job-1"], "explain")
    finally:
        again.kill()


def test_a_queue_nobody_reads_stops_growing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "LONGEST_QUEUE", 5)
    app = app_for(server)
    assert [publish(app, EXPLAIN, [str(n)], "explain") for n in range(7)] == [True] * 5 + [False] * 2
    assert queue_length(app, "explain") == 5


def test_a_wrong_password_is_said_without_showing_it(server: Server) -> None:
    app = make_celery(Settings(redis_url=f"redis://:wrong-one@127.0.0.1:{server.port}/0"), "test")
    with pytest.raises(Transient) as caught:
        ping(app)
    assert "wrong-one" not in str(caught.value)


def test_tls_checks_certificates_unless_told_otherwise() -> None:
    app = make_celery(Settings(redis_url="rediss://:x@redis.example:6380/0"), "test")
    assert app.connection_for_write().ssl["ssl_cert_reqs"].name == "CERT_REQUIRED"
    assert redact("rediss://:x@redis.example:6380/0") == "rediss://:***@redis.example:6380/0"


def test_without_a_redis_one_is_told_how_to_begin() -> None:
    with pytest.raises(StoreError, match="gfi up -d"):
        make_celery(Settings(), "test")


def test_what_is_no_message_is_dropped_and_the_next_one_is_worked_on(server: Server) -> None:
    app, done = app_for(server), threading.Event()

    @app.task(name=EXPLAIN)
    def explain(*_: object) -> None:
        done.set()

    client = redis.Redis.from_url(server.url)
    for garbage in (b"not JSON", b"\xff\xfe", b"5", b"{}", b"[]", b'{"body": 1, "properties": []}', b"null"):
        client.lpush("explain", garbage)
    publish(app, EXPLAIN, ["explain", "job-0"], "explain")
    with start_worker(app, pool="solo", queues=["explain"], perform_ping_check=False, shutdown_timeout=60):
        assert done.wait(60 * slowness())
    assert queue_length(app, "explain") == 0

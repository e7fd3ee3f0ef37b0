"""A worker that has gone deaf ends itself; one that is at work, or that nobody calls, does not."""

import threading
import time
from collections.abc import Iterator

import pytest
from celery import Celery

from cli.servers import Server
from store.broker import EXPLAIN, make_celery, publish
from store.hearing import Hearing
from store.settings import Settings

PATIENCE_S = 0.4


@pytest.fixture
def app(valkey: Server) -> Iterator[Celery]:
    """A worker's application that listens to a queue of its own, and hears nothing."""
    app = make_celery(Settings(redis_url=valkey.url, database_url="sqlite://", s3_bucket="b"), "deaf")
    app.amqp.queues.select(["deaf"])
    yield app
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.client.delete("deaf")
    app.close()


def _ended(app: Celery, at_work: bool = False) -> bool:
    ended, stop = threading.Event(), threading.Event()
    hearing = Hearing(app, patience_s=PATIENCE_S, end=ended.set)
    hearing.watch(stop)
    if at_work:
        with hearing.busy():
            time.sleep(4 * PATIENCE_S)
    else:
        ended.wait(8 * PATIENCE_S)
    stop.set()
    return ended.is_set()


def test_a_worker_that_takes_no_message_though_there_are_some_ends_itself(app: Celery) -> None:
    publish(app, EXPLAIN, ["deaf", None], "deaf")
    assert _ended(app)


def test_a_worker_without_messages_waits(app: Celery) -> None:
    assert not _ended(app)


def test_a_worker_at_work_lets_messages_wait(app: Celery) -> None:
    publish(app, EXPLAIN, ["deaf", None], "deaf")
    assert not _ended(app, at_work=True)

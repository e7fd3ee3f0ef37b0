"""Forks the processes under test: real ones, each forked from a parent that has imported everything.

A worker that is started normally takes two CPU seconds to import Celery, SQLAlchemy, boto3 and Arrow, and these tests
kill hundreds of workers. A forked one takes a fifth of that. The parent opens no connections and has one thread.

    worker      celery -A workers.app worker …, as `gfi worker` starts it, with the engine of `tests.chaos.fake`
    control     celery -A scheduler.app worker …, as `gfi worker --queues control` starts it
    scheduler   scheduler.loop.run

It reads one JSON object per line on stdin ({role, environment, config, log}) and writes the child's process id to
stdout. When the process at the other end is killed, the forker dies, and its children with it.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gfi.cli.children import die_with
from gfi.domain.queues import CONTROL_QUEUE, CONTROL_SLOTS
from tests.chaos import fake
from tests.chaos.misbehaviour import misbehave


def preload() -> None:
    """Import what the children need, except the two applications, which read their settings on import."""
    import importlib

    for name in (
        "celery.__main__",
        "celery.app.log",
        "celery.bin.celery",
        "celery.bin.worker",
        "celery.concurrency.thread",
        "celery.worker.worker",
        "celery.worker.consumer",
        "celery.apps.worker",
        "celery.fixups.django",
        "kombu.transport.redis",
        "kombu.transport.pyamqp",
        "redis",
        "boto3",
        "botocore.httpchecksum",
        "botocore.auth",
        "s3transfer.manager",
        "sqlalchemy.dialects.postgresql.psycopg",
        "sqlalchemy.dialects.sqlite.pysqlite",
        "psycopg",
        "pyarrow.parquet",
        "PIL.Image",
        "PIL.PpmImagePlugin",
        "psutil",
        "structlog",
        "numpy.random",
        "gfi.store.ledger",
        "gfi.store.queries",
        "gfi.store.objects",
        "gfi.store.parts",
        "gfi.datasets.sources",
        "gfi.datasets.manifest",
        "workers.services",
        "workers.shard",
        "scheduler.tasks",
        "scheduler.loop",
    ):
        importlib.import_module(name)
    _read_s3_model()


def _read_s3_model() -> None:
    """boto3 reads some megabytes of JSON for every client; this reads them once for all children."""
    import botocore.loaders

    loader = botocore.loaders.create_loader()
    for kind in ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2"):
        loader.load_service_model("s3", kind)
    for name in ("endpoints", "partitions", "_retry", "sdk-default-configuration"):
        loader.load_data(name)
    botocore.loaders.create_loader = lambda *_: loader


def main() -> None:
    """Fork processes on request until stdin ends."""
    fake.install()
    preload()
    assert "torch" not in sys.modules
    assert threading.active_count() == 1, "a thread would not survive the fork"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # exited children are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forker = os.getpid()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            die_with(forker)
            _live(order)
        print(child, flush=True)


def _live(order: dict[str, Any]) -> None:
    """The child: run the requested role, and never return."""
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        with Path(order["log"]).open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order["environment"] | order["config"].get("environment", {}))
        if "namespace" in order["config"]:
            _move(order["config"]["namespace"])
        {"worker": _worker, "control": _control, "scheduler": _scheduler}[order["role"]](order["config"])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0) if isinstance(end.code, int | None) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _move(namespace: str) -> None:
    """Enter another network namespace (Python has os.setns from 3.12 on)."""
    import ctypes

    with Path(f"/run/netns/{namespace}").open() as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), 0x40000000):  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "setns")


def _celery(application: str, queues: str) -> None:
    from celery.__main__ import main as celery

    sys.argv = [
        "celery",
        "-A",
        application,
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        str(CONTROL_SLOTS if queues == CONTROL_QUEUE else 1),
        "--queues",
        queues,
        "--hostname",
        f"{queues.partition(',')[0]}-{os.getpid()}@{socket.gethostname()}",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel",
        "WARNING",
    ]
    celery()


def _worker(config: dict[str, Any]) -> None:
    _forget_messages_early(config)
    misbehave(config)
    _tell_of_repetitions(config)
    _celery("workers.app", "explain,interactive")


def _forget_messages_early(config: dict[str, Any]) -> None:
    """Set `visibility_timeout_s`, and check it every second: kombu's interval of a hundred seconds is longer than most
    of these jobs."""
    if "visibility_timeout_s" not in config:
        return
    from kombu.transport.redis import Channel

    from gfi.store import broker

    broker.VISIBILITY_TIMEOUT_S = config["visibility_timeout_s"]
    Channel.unacked_restore_interval = Channel.unacked_restore_throttle = 1


def _control(config: dict[str, Any]) -> None:
    _forget_messages_early(config)
    misbehave(config)
    _tell_of_repetitions(config)
    _celery("scheduler.app", CONTROL_QUEUE)


def _tell_of_repetitions(config: dict[str, Any]) -> None:
    """Write a line `again` to the file `tally` for each message that is restored after its visibility timeout."""
    if "tally" not in config:
        return
    from celery.signals import task_received

    def received(request: Any, **_: Any) -> None:
        if request.delivery_info.get("redelivered"):
            _tally(config, "again")

    task_received.connect(received, weak=False)


def _tally(config: dict[str, Any], word: str) -> None:
    with Path(config["tally"]).open("a") as file:
        file.write(f"{word}\n")


def _scheduler(config: dict[str, Any]) -> None:
    import scheduler.loop
    from gfi.store.settings import Settings

    copies, publish = config.get("copies", 1), scheduler.loop.publish

    def several(*args: Any) -> bool:
        first = publish(*args)
        for _ in range(copies - 1):
            if publish(*args) and "tally" in config:
                _tally(config, "copy")
        return first

    tick = scheduler.loop.Scheduler.tick

    def slow_tick(self: scheduler.loop.Scheduler) -> None:
        time.sleep(config.get("tick_s", 0.0))
        tick(self)

    scheduler.loop.publish = several
    scheduler.loop.Scheduler.tick = slow_tick  # type: ignore[method-assign]
    scheduler.loop.run(Settings.load(), pause_s=config.get("pause_s", 0.25))


if __name__ == "__main__":
    main()

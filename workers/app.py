"""The Celery application of the explaining workers.

    celery -A workers.app worker --queues explain,interactive --pool threads --concurrency 1

One process a device, one shard at a time: `gfi worker` starts exactly that, with CUDA_VISIBLE_DEVICES set before
Python. The thread pool keeps the process answering while the optimiser runs, and CUDA cannot be forked into.

    GFI_DEVICE   cpu (default) or cuda:0
    GFI_THREADS  CPU threads of the optimiser; part of the execution profile
    GFI_DTYPE    float32 (default) or bfloat16, likewise
"""

import os
import socket
import threading
import time
from functools import cache
from typing import Any

import psutil
import structlog
from celery.signals import worker_ready, worker_shutting_down

from gfi import __version__
from gfi.store import ledger
from gfi.store.broker import make_celery
from gfi.store.errors import StoreError
from gfi.store.logs import configure_logs
from gfi.store.settings import Settings
from workers.services import Services

log = structlog.get_logger(__name__)
configure_logs()
app = make_celery(Settings.load().require_stack(), "gfi-workers", include=["workers.tasks"])

HEARTBEAT_S = 10.0


@cache
def services() -> Services:
    """This process's services, opened at first use."""
    threads = os.environ.get("GFI_THREADS")
    return Services(
        Settings.load(),
        os.environ.get("GFI_DEVICE", "cpu"),
        int(threads) if threads else None,
        os.environ.get("GFI_DTYPE", "float32"),
    )


@worker_ready.connect
def _ready(**_: Any) -> None:
    here = services()
    log.info("worker ready", worker=here.name, device=here.device, version=__version__)
    threading.Thread(target=_report, name="heartbeat", daemon=True).start()


@worker_shutting_down.connect
def _shutting_down(sig: str = "", **_: Any) -> None:
    """SIGTERM: the running shard ends at its next step and commits what is finished."""
    log.info("worker stopping", signal=sig)
    services().shutdown.set()


def _doing() -> dict[str, Any]:
    here = services()
    return {
        "memory_mib": psutil.Process().memory_info().rss / 2**20,
        "shard_id": here.shard_id,
        "rate": here.rate.per_second(),
        "clock_skew_s": time.time() - here.database.now(),
    }


def _report() -> None:
    """Say every few seconds that this worker lives and what it does; people look at it, nothing relies on it."""
    here = services()
    facts = {
        "id": here.name,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": here.device_kind,
        "queues": sorted(app.amqp.queues.consume_from),
        "version": __version__,
        "state": "up",
    }
    while not here.shutdown.is_set():
        try:
            ledger.heartbeat(here.database, facts | _doing())
        except StoreError as error:
            log.debug("no heartbeat", reason=str(error))
        here.shutdown.wait(HEARTBEAT_S)

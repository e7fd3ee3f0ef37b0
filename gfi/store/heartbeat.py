"""The heartbeat of a worker process: a row that says every few seconds that it lives and what it does.

People look at it, in `gfi doctor` and on the workers' page. Nothing relies on it: leases decide what is alive.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psutil
import structlog

from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.errors import StoreError

log = structlog.get_logger(__name__)

HEARTBEAT_S = 10.0


def worker_name() -> str:
    """What this process calls itself in the ledger: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def start_heartbeat(
    database: Database,
    *,
    device: str | None,
    queues: Iterable[str],
    version: str,
    shutdown: threading.Event,
    doing: Callable[[], Mapping[str, Any]] = dict,
) -> threading.Thread:
    """Beat until `shutdown`, from a thread of its own.

    device: its kind; None for a worker that needs none. doing: further columns of table `workers`, asked at each beat.
    """
    identity = {
        "id": worker_name(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device,
        "queues": sorted(queues),
        "version": version,
        "state": "up",
    }
    process = psutil.Process()

    def beat() -> None:
        while True:
            try:
                ledger.heartbeat(
                    database,
                    {
                        **identity,
                        "memory_mib": process.memory_info().rss / 2**20,
                        "clock_skew_s": time.time() - database.now(),
                        **doing(),
                    },
                )
            except StoreError as error:
                log.debug("no heartbeat", reason=str(error))
            if shutdown.wait(HEARTBEAT_S):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    return thread

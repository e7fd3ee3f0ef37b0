"""The heartbeat of a worker process: every few seconds it records in the ledger that it runs and what it does.

`gfi doctor` and the page of the workers show it, and jobs go to queues whose workers have the memory that they need
(`gfi.jobs.routing`). No lease depends on it.
"""

import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import structlog

from gfi.domain.digests import JSON
from gfi.domain.kernel_files import container_memory
from gfi.store import ledger
from gfi.store.database import Database, check
from gfi.store.errors import StoreError

log = structlog.get_logger(__name__)

HEARTBEAT_S = 10.0


def worker_name() -> str:
    """The name of this process in the ledger: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def machine_facts() -> JSON:
    """What a worker reports about its machine and Python; memory in MiB, of the machine or its container."""
    total = psutil.virtual_memory().total
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "memory_mib": round(min(total, container_memory("max") or total) / 2**20),
    }


def touch(alive_file: Path | None) -> None:
    """Renew the time of the file by which a container's health check sees that this process runs, if there is one."""
    if alive_file is None:
        return
    try:
        alive_file.touch()
    except OSError as error:
        log.warning("GFI_ALIVE_FILE cannot be written", file=str(alive_file), reason=type(error).__name__)


def start_heartbeat(
    database: Database,
    *,
    device: str | None,
    queues: Iterable[str],
    version: str,
    shutdown: threading.Event,
    facts: Mapping[str, Any] | None = None,
    doing: Callable[[], Mapping[str, Any]] = dict,
    alive_file: Path | None = None,
) -> threading.Thread:
    """Write a heartbeat every HEARTBEAT_S seconds, and a last one when `shutdown` is set, from a thread of its own.

    device: the kind of device; None for a worker without one. facts: properties of the device, added to those of the
    machine. doing: returns further columns of table `workers`; called at each heartbeat. alive_file: a file to touch
    each time, also while the database is away: a restart of this process would not bring it back.
    """
    identity: dict[str, Any] = {
        "id": worker_name(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device,
        "queues": sorted(queues),
        "version": version,
        "state": "up",
        "facts": machine_facts() | dict(facts or {}),
    }
    process = psutil.Process()

    def beat() -> None:
        try:
            check(database)
        except StoreError as error:
            log.warning("waiting", reason=str(error))  # claims fail until the tables are upgraded
        while True:
            touch(alive_file)
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
            except Exception:  # the thread goes on: without it, this worker would be taken for gone
                log.exception("no heartbeat")
            if identity["state"] != "up":
                return
            if shutdown.wait(HEARTBEAT_S):
                # a last heartbeat, which says that the worker takes no more work
                identity["state"] = "stopping"

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    return thread

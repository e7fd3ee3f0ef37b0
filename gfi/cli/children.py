"""Child processes that end together with the process that started them, however it ends.

    server = popen([binary, config], stdout=log)

On Linux the kernel kills the children when their parent ends (PR_SET_PDEATHSIG), even when the parent was killed with
SIGKILL. On other systems they stay behind as orphans: `process_record` and `same_process` let the next start over the
same directory find and end them.

The kernel monitors the thread that forked, not its process: a server started by a short-lived thread would be killed
when that thread ends. So all processes are forked by one thread that lives as long as the process.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

PYTHON = (sys.executable, "-P")
"""The command line prefix of gfi's own processes. -P keeps the working directory off the module path: otherwise a
folder `gfi` or `scheduler` in a user's project would be imported instead of this package."""

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: a forked child must not import or search for anything.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_fork_executor = ThreadPoolExecutor(1, "fork")


def die_with(parent: int) -> None:
    """In a forked child: arrange that it is killed when `parent`, which forked it, ends. Still valid after an exec."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the call above
        os._exit(1)


def popen(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen` for a process that ends together with this one."""
    parent = os.getpid()

    def fork() -> subprocess.Popen[Any]:
        return subprocess.Popen(list(command), preexec_fn=lambda: die_with(parent), **options)

    return _fork_executor.submit(fork).result()


def process_record(pid: int) -> dict[str, Any]:
    """A process as JSON: {"pid", "started"}. The start time distinguishes it from a later process with the same
    number."""
    with contextlib.suppress(psutil.Error):
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    return {"pid": pid, "started": 0.0}


def same_process(record: dict[str, Any]) -> psutil.Process | None:
    """The running process of a record; None if it has ended, or if its number now belongs to another process."""
    try:
        process = psutil.Process(record["pid"])
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return process if alive and abs(process.create_time() - record["started"]) < 1.0 else None
    except (KeyError, TypeError, psutil.Error):
        return None


def end_processes(records: Iterable[dict[str, Any]], grace_s: float) -> None:
    """SIGTERM the running processes of these records, and SIGKILL after `grace_s` those that are still there."""
    processes = [process for record in records if (process := same_process(record))]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=grace_s)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()

"""Processes that do not outlive the one that started them, however it ends.

    server = popen([binary, config], stdout=log)

On Linux the kernel kills them with their parent (PR_SET_PDEATHSIG), so that even a supervisor that is killed with
-9 leaves nobody behind. Elsewhere they become orphans, which the next start over the same directory ends.

The kernel watches the thread that forked, not its process: a server that was started again by some passing thread
would die with that thread. So one thread, which lives as long as the process, does all the forking.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PYTHON = (sys.executable, "-P")
"""Our own processes never search the working directory for modules: a folder `gfi` or `scheduler` there would be
imported instead of ours."""

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: in the child nothing may be imported or searched for.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_births = ThreadPoolExecutor(1, "births")


def die_with(parent: int) -> None:
    """In a forked child: be killed as soon as `parent`, which forked it, has ended. Outlives an exec."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it had ended before we could ask
        os._exit(1)


def popen(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen` of a process that dies with this one."""
    parent = os.getpid()

    def birth() -> subprocess.Popen[Any]:
        return subprocess.Popen(list(command), preexec_fn=lambda: die_with(parent), **options)

    return _births.submit(birth).result()

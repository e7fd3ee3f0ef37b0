"""Limits of a child process that reads what strangers may have written: a model file, a dataset.

The parent starts it with `environment()`, so that it has no password and no key; the child calls `limit` before it
reads anything.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
NO_MEMORY = 77
"""Exit status of a child that an allocation was refused."""
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
)
"""Environment variables that every child keeps: the places of programs and of temporary files."""


def environment(*also: str) -> dict[str, str]:
    """The environment of a child: variables that say where programs are, and those named in `also`."""
    return {name: os.environ[name] for name in (*_PASSED_ON, *also) if name in os.environ}


def limit(memory_mib: int, parent: int) -> None:
    """Cap this process's memory, and end it with `parent`, the id of the process that started it."""
    # RLIMIT_DATA counts private writable memory. RLIMIT_AS would also count reserved addresses, of which the libraries
    # of torch reserve many.
    size = memory_mib * 2**20
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    size = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the call above
        os._exit(1)


def lacked_memory(error: BaseException | None) -> bool:
    """Whether `error`, or an error that led to it, is a refused allocation."""
    while error is not None:
        text = str(error)
        # torch, pyarrow (two texts) and the C library
        if isinstance(error, MemoryError) or any(
            said in text for said in ("allocate memory", "malloc of size", "realloc of size")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False

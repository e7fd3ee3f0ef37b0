"""`python -m workers.model_reader --models DIR --output FILE -- REFERENCE`: load a network and describe it.

Writes {"record": …} or {"error": …} to FILE. Started by `workers.registration` as a separate process, with limits and
without the settings of the service.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read the arguments, set the limits, load, write."""
    parser = argparse.ArgumentParser(prog="python -m workers.model_reader")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--memory-mib", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("reference")
    given = parser.parse_args()
    limit(given.memory_mib, given.parent)
    answer = json.dumps(describe(given.reference, given.models, given.memory_mib))
    unfinished = given.output.with_suffix(".part")
    unfinished.write_text(answer)
    unfinished.rename(given.output)


def limit(memory_mib: int, parent: int) -> None:
    """Cap this process's memory, and end it with `parent`."""
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


def describe(reference: str, models: Path, memory_mib: int) -> dict[str, Any]:
    """{"record": what `Classifier.record` says} or {"error": one line}."""
    from gfi.domain.errors import MethodError

    try:
        from gfi.method import classifiers

        return {"record": classifiers.describe(reference, models)}
    except Exception as error:  # a model file may name code, which may raise any exception
        if _lacked_memory(error):
            allowed = f"{memory_mib} MiB (GFI_REGISTRATION_MIB on the worker)"
            return {"error": f"{reference}: loading it takes more memory than the {allowed} allowed"}
        if isinstance(error, MethodError):
            return {"error": str(error)}
        return {"error": f"{reference}: {type(error).__name__}: {_first_line(error)}"}


def _lacked_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


if __name__ == "__main__":
    main()

"""`python -m workers.model_reader --models DIR --output FILE --head NPZ -- REFERENCE`: load a network and describe it.

Writes {"record": …} or {"error": …} to FILE, and the weights of its last linear layer to NPZ. Started by
`workers.registration` as a separate process, with limits and without the settings of the service.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from gfi.jobs.confined import lacked_memory, limit


def main() -> None:
    """Read the arguments, set the limits, load, write."""
    parser = argparse.ArgumentParser(prog="python -m workers.model_reader")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--memory-mib", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("reference")
    given = parser.parse_args()
    limit(given.memory_mib, given.parent)
    answer = json.dumps(describe(given.reference, given.models, given.memory_mib, given.head))
    unfinished = given.output.with_suffix(".part")
    unfinished.write_text(answer)
    unfinished.rename(given.output)


def describe(reference: str, models: Path, memory_mib: int, head_file: Path | None = None) -> dict[str, Any]:
    """{"record": what `gfi.method.registration.describe` says} or {"error": one line}."""
    from gfi.domain.errors import MethodError

    try:
        from gfi.method import registration

        return {"record": registration.describe(reference, models, head_file)}
    except Exception as error:  # a model file may name code, which may raise any exception
        if lacked_memory(error):
            allowed = f"{memory_mib} MiB (GFI_REGISTRATION_MIB on the worker)"
            return {"error": f"{reference}: loading it takes more memory than the {allowed} allowed"}
        if isinstance(error, MethodError):
            return {"error": str(error)}
        return {"error": f"{reference}: {type(error).__name__}: {_first_line(error)}"}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


if __name__ == "__main__":
    main()

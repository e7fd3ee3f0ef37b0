"""What the kernel says of memory: of the machine, and of the container that a process may run in."""

from pathlib import Path
from typing import Literal

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def available_memory() -> int | None:
    """Bytes that the machine can still give; None on systems other than Linux."""
    kib = _number(MEMINFO, "MemAvailable:")
    return None if kib is None else kib * 1024


def container_memory(what: Literal["max", "current"]) -> int | None:
    """Bytes that the container may use, or uses now (cgroup v2); None where there is no container or no limit."""
    return _number(CGROUP / f"memory.{what}")


def _number(file: Path, name: str | None = None) -> int | None:
    """The number after `name`, or the first one, in one of the kernel's files; None if there is none (no such file, or
    `max`)."""
    try:
        text = file.read_text()
    except OSError:
        return None
    words = (text if name is None else text.partition(name)[2]).split()
    return int(words[0]) if words and words[0].isdigit() else None

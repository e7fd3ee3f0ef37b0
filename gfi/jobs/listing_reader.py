"""The beginning of a dataset's listing, read by a child process with limits of memory and time.

A small file can expand to gigabytes, and whoever may submit may name any file below the roots. In a process of its own
it can only end that process. `read_listing` starts `python -P -m gfi.jobs.listing_reader`; settings (with the keys of
the dataset store) travel over standard input, because arguments can be read by every user of the machine.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from gfi.jobs import confined, estimate
from gfi.store.errors import LimitExceeded, one_line
from gfi.store.settings import Settings

AT_ONCE = 4
"""Children of one process at a time; further requests are refused, so that together they do not fill the memory."""
WAIT_S = 2.0
_LARGEST_ANSWER = 16 * 2**20
_FOR_STORES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"),
)
_slots = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class FirstItem:
    """One of the first images of a listing. size: bytes; 0 where the listing does not say. version: "" where unknown.
    boxes: how many."""

    key: str
    size: int
    version: str
    label: str | None
    boxes: int


@dataclass(frozen=True)
class Beginning:
    """The beginning of a listing. images: counted; all of them where `complete`. warnings: as sentences."""

    images: int
    complete: bool
    first: list[FirstItem]
    warnings: list[str]


def read_listing(spec: str, settings: Settings, first: int, memory_mib: int, seconds: float) -> Beginning:
    """Count the images of a dataset, for 3 s at most, and describe the first of them.

    Raises DatasetError as the listing does, and where it takes more than the limits; LimitExceeded when other listings
    hold all slots.
    """
    if not _slots.acquire(timeout=WAIT_S):
        raise LimitExceeded(f"{AT_ONCE} listings are being read; try again in a few seconds")
    try:
        return _read(spec, settings, first, memory_mib, seconds)
    finally:
        _slots.release()


def _read(spec: str, settings: Settings, first: int, memory_mib: int, seconds: float) -> Beginning:
    question = {"spec": spec, "first": first, "settings": settings_of_datasets(settings)}
    advice = "submit it as a job, whose listing has no such limit, or write it with smaller row groups"
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "gfi.jobs.listing_reader", str(os.getpid()), str(memory_mib)],
        env=child_environment(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        try:
            out, _ = child.communicate(json.dumps(question).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise DatasetError(
                f"{spec}: reading its beginning took more than {seconds:.0f} s (GFI_API_LISTING_S); {advice}"
            ) from None
        finally:
            child.kill()
    # A child that is ended for its memory writes nothing: libraries in C abort when an allocation fails.
    if child.returncode in (-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, confined.NO_MEMORY):
        raise DatasetError(
            f"{spec}: reading its beginning takes more memory than the {memory_mib} MiB allowed "
            f"(GFI_API_LISTING_MIB); {advice}"
        )
    if child.returncode != 0 or len(out) > _LARGEST_ANSWER:
        raise DatasetError(f"{spec}: the process that read it ended with status {child.returncode}")
    answer: dict[str, Any] = json.loads(out)
    if "error" in answer:
        raise (Unavailable if answer["again"] else DatasetError)(answer["error"])
    items = [FirstItem(**item) for item in answer.pop("first")]
    return Beginning(first=items, **answer)


def settings_of_datasets(settings: Settings) -> dict[str, Any]:
    """The settings that opening a dataset reads, as JSON values."""
    chosen: dict[str, Any] = {}
    for name in Settings.model_fields:
        if name.startswith(("dataset_", "s3_")):
            value = getattr(settings, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            chosen[name] = [str(part) for part in value] if isinstance(value, tuple) else value
    return chosen


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment of a child that reads a dataset."""
    # Without keys in the settings botocore looks for them itself, in these variables among other places.
    given = settings.dataset_s3_access_key or settings.s3_access_key
    found = () if given else tuple(name for name in os.environ if name.startswith("AWS_"))
    kept = confined.environment(*_FOR_STORES, *found)
    # The usual allocator of pyarrow reserves memory in large steps, and each thread of a BLAS its own.
    return {
        **kept,
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def main() -> None:
    """The child: read the question, set the limits, list, write."""
    confined.limit(int(sys.argv[2]), int(sys.argv[1]))
    question = json.load(sys.stdin)
    try:
        answer = json.dumps(_begin(question["spec"], question["first"], Settings(**question["settings"])))
    except Exception as error:
        if confined.lacked_memory(error):
            os._exit(confined.NO_MEMORY)
        if not isinstance(error, DatasetError | OSError):
            raise
        # An OSError is a fault of this machine, such as a full disk for temporary files.
        again = isinstance(error, Unavailable | OSError)
        answer = json.dumps({"error": one_line(error), "again": again})
    sys.stdout.write(answer)


def _begin(spec: str, most: int, settings: Settings) -> dict[str, Any]:
    source = open_source(spec, settings)
    first: list[FirstItem] = []
    for listed in source.list() if most else ():
        first.append(FirstItem(listed.key, listed.size, listed.version, listed.label, len(listed.boxes)))
        if len(first) == most:
            break
    notes = ListingNotes()
    images, complete = estimate.count(source, notes=notes)
    return dataclasses.asdict(Beginning(images, complete, first, notes.lines(images)))


if __name__ == "__main__":
    main()

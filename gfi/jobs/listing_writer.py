"""The whole listing of a job, written as its manifest by a child process with a limit of memory.

A file that expands while it is read can end only that child, never the control worker that plans other jobs beside it.
`write_listing` starts `python -P -m gfi.jobs.listing_writer`; see `gfi.jobs.listing_reader` for the same of a preview.
"""

import dataclasses
import heapq
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.listing import Listed
from gfi.datasets.manifest import Written, entries, write
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import UPLOAD, open_source
from gfi.domain.class_index import ClassIndex
from gfi.jobs import confined
from gfi.jobs.listing_reader import child_environment, settings_of_datasets
from gfi.store.errors import LimitExceeded, StoreError, Transient, one_line
from gfi.store.settings import Settings

CHECK_S = 0.5
_ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (DatasetError, Unavailable, LimitExceeded, Transient, StoreError)
}


@dataclass(frozen=True)
class Classes:
    """The classes that labels are matched with, as in the record of a model."""

    names: list[str]
    wordnet_ids: list[str]
    number: int

    @staticmethod
    def of(record: dict[str, Any]) -> "Classes":
        """The classes of a registered model."""
        return Classes(record["class_names"], record["wordnet_ids"], record.get("classes", 0))


@dataclass(frozen=True)
class Most:
    """How many images there may be, and what is said where there are more."""

    images: int
    otherwise: str


@dataclass(frozen=True)
class Listing:
    """What was listed. description: of the dataset. warnings: as sentences. skipped: files left out, by reason."""

    written: Written
    description: str
    warnings: list[str]
    skipped: dict[str, int]


def write_listing(
    spec: str,
    settings: Settings,
    path: Path,
    *,
    classes: Classes | None,
    most: Most,
    check: Callable[[], None],
    sample: int | None = None,
) -> Listing:
    """List a dataset into a manifest at `path`. sample: only so many of its images, see `sampled`.

    check: called about twice a second; what it raises ends the listing. The photographs of an upload were checked when
    they were sent; they are listed in this process, as is everything where `settings.listing_mib` is 0.

    Raises DatasetError as the listing does, and where it takes more than the memory allowed; LimitExceeded where there
    are too many images; Unavailable and Transient where another attempt may succeed.
    """
    if spec.startswith(UPLOAD) or not settings.listing_mib:
        return _write(spec, settings, path, classes, most, check, sample)
    question = {
        "spec": spec,
        "path": str(path),
        "classes": None if classes is None else dataclasses.asdict(classes),
        "most": dataclasses.asdict(most),
        "sample": sample,
        "settings": settings_of_datasets(settings),
    }
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "gfi.jobs.listing_writer", str(os.getpid()), str(settings.listing_mib)],
        env=child_environment(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out = _wait(child, json.dumps(question).encode(), check)
        finally:
            child.kill()
    if child.returncode in (-signal.SIGABRT, -signal.SIGSEGV, confined.NO_MEMORY):
        raise DatasetError(
            f"{spec}: its listing takes more memory than the {settings.listing_mib} MiB allowed "
            "(GFI_LISTING_MIB); write it with smaller row groups, or raise the limit"
        )
    if child.returncode == -signal.SIGKILL:  # by the system or a person
        raise Transient(f"{spec}: the process that listed it was killed")
    if child.returncode != 0:
        raise RuntimeError(f"{spec}: the process that listed it ended with status {child.returncode}")
    answer: dict[str, Any] = json.loads(out)
    if "error" in answer:
        raise _ERRORS[answer["kind"]](answer["error"])
    written = answer.pop("written")
    return Listing(Written(**written | {"notes": tuple(written["notes"])}), **answer)


def _wait(child: subprocess.Popen[bytes], question: bytes, check: Callable[[], None]) -> bytes:
    given: bytes | None = question
    while True:
        try:
            return child.communicate(given, timeout=CHECK_S)[0]
        except subprocess.TimeoutExpired:
            given = None
            check()


def _write(
    spec: str,
    settings: Settings,
    path: Path,
    classes: Classes | None,
    most: Most,
    check: Callable[[], None],
    sample: int | None,
) -> Listing:
    source = open_source(spec, settings)
    index = None if classes is None else ClassIndex.of(classes.names, classes.wordnet_ids, classes.number)
    notes = ListingNotes()
    whole = source.list(notes) if sample is None else sampled(source.list(notes), sample, check)
    listed = _limited(whole, most, check)
    try:
        written = write(entries(listed, index, notes), path, {"dataset": source.spec, "kind": source.kind})
    except OSError as error:  # one of the dataset would be a DatasetError
        raise Transient(
            f"the listing cannot be written to {path.parent} on {platform.node()}: {one_line(error)}"
        ) from error
    return Listing(written, source.describe(), notes.lines(written.count), notes.skipped)


def _limited(listed: Iterator[Listed], most: Most, check: Callable[[], None]) -> Iterator[Listed]:
    """The ledger checks the limit again; the check here stops a listing of millions early."""
    for number, item in enumerate(listed):
        if number % 1000 == 0:
            check()
        if number >= most.images:
            raise LimitExceeded(most.otherwise)
        yield item


def sampled(listed: Iterable[Listed], number: int, check: Callable[[], None]) -> Iterator[Listed]:
    """The `number` images whose keys have the smallest hashes, in the order of the listing. The same keys give the same
    sample, and a key that is added changes at most one image of it. Memory holds the sample."""
    chosen: list[tuple[int, int, Listed]] = []
    for place, item in enumerate(listed):
        if place % 1000 == 0:
            check()
        entry = -int.from_bytes(blake2b(item.key.encode(), digest_size=8).digest()), place, item
        if len(chosen) < number:
            heapq.heappush(chosen, entry)
        elif entry[0] > chosen[0][0]:
            heapq.heapreplace(chosen, entry)
    yield from (item for _, _, item in sorted(chosen, key=lambda entry: entry[1]))


def main() -> None:
    """The child: read the question, set the limits, list, write."""
    confined.limit(int(sys.argv[2]), int(sys.argv[1]))
    question = json.load(sys.stdin)
    classes = Classes(**question["classes"]) if question["classes"] else None
    settings, path = Settings(**question["settings"]), Path(question["path"])
    try:
        listing = _write(
            question["spec"],
            settings,
            path,
            classes,
            Most(**question["most"]),
            lambda: None,
            question["sample"],
        )
        answer = json.dumps(dataclasses.asdict(listing))
    except Exception as error:
        if confined.lacked_memory(error):
            os._exit(confined.NO_MEMORY)
        kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS), None)
        if kind is None:
            raise
        answer = json.dumps({"error": str(error), "kind": kind})
    sys.stdout.write(answer)


if __name__ == "__main__":
    main()

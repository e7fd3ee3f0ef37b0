"""Sorts lists of names that are too long for memory."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

# 500,000 names of 30 letters take about 45 MB.
_RUN = 500_000


def sorted_names(names: Iterable[str], run: int = _RUN) -> Iterator[str]:
    """`names`, which hold no NUL, in code-point order. Reads them all before it returns; above `run` names,
    sorted runs go to temporary files, which are deleted with the iterator, and are merged."""
    stream = iter(names)
    first = sorted(islice(stream, run))
    if len(first) < run:
        return iter(first)
    runs = [_write_run(first)]
    del first
    while chunk := sorted(islice(stream, run)):
        runs.append(_write_run(chunk))
    return heapq.merge(*map(_read_run, runs))


def _write_run(names: list[str]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _read_run
    # In slices, so that the joined text is never as large as the run.
    for start in range(0, len(names), 10_000):
        file.write("".join(name + "\0" for name in names[start : start + 10_000]).encode())
    return file


def _read_run(file: IO[bytes]) -> Iterator[str]:
    with file:
        file.seek(0)
        rest = b""
        while block := file.read(2**18):
            *whole, rest = (rest + block).split(b"\0")
            for name in whole:
                yield name.decode()

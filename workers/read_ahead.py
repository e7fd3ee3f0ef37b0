"""Photographs fetched and decoded ahead of the engine, yielded in the order of the manifest.

At most two chunks are in progress: the one that the engine is reading and the next. So photographs are read while the
optimiser runs, and both the memory and the number of suspects are limited, because only announced rows can be suspects
of a death. The announcement is also made in a thread, so that the engine waits for it at the first chunk only.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Generic, TypeVar

from gfi.datasets.manifest import Entry

Decoded = TypeVar("Decoded")


class ReadAhead(Generic[Decoded]):
    """Iterates `(entry, read(entry))` over entries, in order; `read` runs in `threads` threads.

    announce: called with the rows of both chunks before the first row of the second is read; an exception (LeaseLost)
    ends the iteration at that chunk. read: must return the fault of a row; an exception (an outage of the bucket) ends
    the iteration at that row. progressed: called after each row.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        read: Callable[[Entry], Decoded],
        *,
        announce: Callable[[Sequence[int]], None],
        progressed: Callable[[], None],
        chunk: int,
        threads: int = 4,
    ) -> None:
        self._entries = entries
        self._read = read
        self._announce = announce
        self._progressed = progressed
        self._chunk = chunk
        self._threads = threads

    def __iter__(self) -> Iterator[tuple[Entry, Decoded]]:
        chunks = [self._entries[at : at + self._chunk] for at in range(0, len(self._entries), self._chunk)]
        if not chunks:
            return
        # One more thread than readers: it announces rows and starts the readers.
        with (
            ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as readers,
            ThreadPoolExecutor(1, thread_name_prefix="announce") as starter,
        ):
            try:
                ahead = starter.submit(self._start, readers, [], chunks[0])
                for chunk, following in pairwise([*chunks, []]):
                    current = ahead.result()
                    if following:
                        ahead = starter.submit(self._start, readers, chunk, following)
                    for entry, decoded in zip(chunk, current, strict=True):
                        yield entry, decoded.result()
            finally:
                starter.shutdown(cancel_futures=True)
                readers.shutdown(cancel_futures=True)

    def _start(
        self, readers: ThreadPoolExecutor, before: Sequence[Entry], chunk: Sequence[Entry]
    ) -> list[Future[Decoded]]:
        """Announce `chunk`, with the one before it, which the engine is taking from; then start reading it."""
        self._announce([entry.row for entry in (*before, *chunk)])
        return [readers.submit(self._read_one, entry) for entry in chunk]

    def _read_one(self, entry: Entry) -> Decoded:
        decoded = self._read(entry)
        self._progressed()
        return decoded

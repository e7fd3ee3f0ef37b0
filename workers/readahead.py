"""Photographs fetched and decoded ahead of the engine, handed over in the order of the manifest.

Two chunks are under way at most: the one the engine is taking from and the next. That hides the reading behind
the optimiser and bounds both the memory and the suspects: a death can only be blamed on rows that were announced.
The ledger is told from a thread too, so the engine waits for it at the first chunk alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Generic, TypeVar

from gfi.datasets.manifest import Entry

Decoded = TypeVar("Decoded")


class Readahead(Generic[Decoded]):
    """Iterate `(entry, read(entry))` over entries, in order; `read` runs in `threads` threads.

    announce: called with the rows of both chunks before the first row of the second is touched; what it raises
    (LeaseLost) ends the iteration at that chunk. read must return its errors rather than raise them: whatever it
    does raise (an outage of the bucket) ends the iteration there.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        read: Callable[[Entry], Decoded],
        *,
        announce: Callable[[Sequence[int]], None],
        beat: Callable[[], None],
        chunk: int,
        threads: int = 4,
    ) -> None:
        self._entries = entries
        self._read = read
        self._announce = announce
        self._beat = beat
        self._chunk = chunk
        self._threads = threads

    def __iter__(self) -> Iterator[tuple[Entry, Decoded]]:
        chunks = [self._entries[at : at + self._chunk] for at in range(0, len(self._entries), self._chunk)]
        if not chunks:
            return
        # One more thread than readers: it announces, and starts the readers.
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
        return [readers.submit(self._timed, entry) for entry in chunk]

    def _timed(self, entry: Entry) -> Decoded:
        decoded = self._read(entry)
        self._beat()
        return decoded

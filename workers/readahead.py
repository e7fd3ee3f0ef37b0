"""Photographs fetched and decoded ahead of the engine, handed over in the order of the manifest.

Two chunks are under way at most: the one the engine is taking from and the next. That hides the reading behind
the optimiser and bounds both the memory and the suspects: a death can only be blamed on rows that were announced.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from datasets.manifest import Entry

Decoded = TypeVar("Decoded")


class Readahead(Generic[Decoded]):
    """Iterate `(entry, read(entry))` over entries, in order; `read` runs in `threads` threads.

    announce: called with the rows of every chunk before the first of them is touched, and again, without
    those that are done, when the next chunk starts. read must return its errors rather than raise them: whatever
    it does raise (an outage of the bucket) ends the iteration there.
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
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            chunks = [
                self._entries[at : at + self._chunk] for at in range(0, len(self._entries), self._chunk)
            ]
            ahead: deque[tuple[Entry, Future[Decoded]]] = deque()
            try:
                for chunk in chunks[:1]:
                    self._start(pool, chunk, ahead)
                for following in [*chunks[1:], []]:
                    current, ahead = ahead, deque()
                    if following:
                        self._start(pool, following, ahead, pending=current)
                    for entry, future in current:
                        yield entry, future.result()
            finally:
                for _, future in ahead:
                    future.cancel()

    def _start(
        self,
        pool: ThreadPoolExecutor,
        chunk: Sequence[Entry],
        ahead: deque[tuple[Entry, Future[Decoded]]],
        pending: Sequence[tuple[Entry, Future[Decoded]]] | deque[tuple[Entry, Future[Decoded]]] = (),
    ) -> None:
        undecoded = [entry.row for entry, future in pending if not future.done()]
        self._announce([*undecoded, *(entry.row for entry in chunk)])
        for entry in chunk:
            ahead.append((entry, pool.submit(self._timed, entry)))

    def _timed(self, entry: Entry) -> Decoded:
        decoded = self._read(entry)
        self._beat()
        return decoded

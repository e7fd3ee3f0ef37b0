"""Seconds that a worker spends in each stage of its shards, for `/metrics`.

Fetching, decoding and uploading pictures happen in threads beside the optimiser, so the seconds of all stages may be
more than those that passed.
"""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

Stage = Literal["fetch", "decode", "optimise", "measure", "upload", "commit"]
WAIT = "wait"
"""Of the optimiser for photographs. Not a stage: it is left out of `optimise`."""
Yielded = TypeVar("Yielded")


class Stages:
    """Seconds by stage since the process started. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def timed(self, stage: Stage) -> contextlib.AbstractContextManager[None]:
        """Add the seconds of the block, also of one that fails."""
        return self._timed(stage)

    def each(self, stage: Stage | Literal["wait"], items: Iterable[Yielded]) -> Iterator[Yielded]:
        """Yield the items; adds the seconds that they take to come."""
        coming = iter(items)
        while True:
            with self._timed(stage):
                try:
                    item = next(coming)
                except StopIteration:
                    return
            yield item

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, of the stages that there were."""
        with self._lock:
            seconds = dict(self._seconds)
        waited = seconds.pop(WAIT, 0.0)
        if "optimise" in seconds:
            seconds["optimise"] = max(0.0, seconds["optimise"] - waited)
        return seconds

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + took

"""Decides which further tasks a control worker may take.

Listing a dataset of millions of images takes minutes, and nothing interrupts it. So one slot is reserved for tasks that
are short or that somebody waits for, and the listings of one owner never fill the other slots.
"""

import threading
from collections import Counter
from collections.abc import Callable

from gfi.domain.queues import CONTROL_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.tasks import INTERACTIVE, long_kinds
from gfi.store.ledger import Wanted


def is_long(claim: ControlClaim) -> bool:
    """Whether the task may take minutes and nobody waits for it."""
    return claim.kind in long_kinds() and claim.priority < INTERACTIVE


class Slots:
    """The running tasks of one process. Thread-safe. number: how many may run at once."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._long: dict[str, str] = {}  # owners by task
        self._lock = threading.Lock()

    def claim(self, take: Callable[[Wanted], ControlClaim | None], kinds: list[str]) -> ControlClaim | None:
        """The task that `take` claims among those allowed now. Only one thread claims at a time."""
        with self._lock:
            held = Counter(self._long.values())
            most = max(1, self._number - 2)
            claim = take(
                Wanted(
                    CONTROL_QUEUE,
                    kinds,
                    short=len(self._long) >= max(1, self._number - 1),
                    sated=[owner for owner, tasks in held.items() if tasks >= most],
                )
            )
            if claim is not None and is_long(claim):
                self._long[claim.task_id] = claim.owner
            return claim

    def release(self, claim: ControlClaim) -> None:
        """The task has ended."""
        with self._lock:
            self._long.pop(claim.task_id, None)

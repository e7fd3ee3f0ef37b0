"""Which tasks a control worker may take beside those it does already.

Listing a dataset of millions of images takes minutes, and nothing interrupts it. So one slot is kept for tasks that do
not take long or that somebody waits for, and one owner's listings never fill the others.
"""

import threading
from collections import Counter
from collections.abc import Callable

from gfi.domain.queues import CONTROL_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.tasks import INTERACTIVE, long_kinds
from gfi.store.ledger import Wanted


def is_long(claim: ControlClaim) -> bool:
    """Whether it may take minutes, and nobody waits for it."""
    return claim.kind in long_kinds() and claim.priority < INTERACTIVE


class Slots:
    """The tasks of one process. Thread-safe. number: how many it does at once."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._long: dict[str, str] = {}  # owners by task
        self._lock = threading.Lock()

    def claim(self, take: Callable[[Wanted], ControlClaim | None], kinds: list[str]) -> ControlClaim | None:
        """What `take` claims of the tasks that may be taken now. One thread after the other."""
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

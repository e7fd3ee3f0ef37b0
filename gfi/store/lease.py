"""Keep a lease: renew it from a thread of its own until the work ends or the lease is lost.

Shards and control tasks follow one rule. A renewal that the ledger refuses means that the lease is lost. A database
that does not answer costs nothing as long as the last renewal is younger than the lease; after that nobody can know
whose work it is, and the lease counts as lost. A process that is told to stop keeps its lease until its work has ended
in order.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from gfi.domain.records import LeaseAnswer
from gfi.store.errors import StoreError

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """The work belongs to another worker now, or to none: commit nothing."""


class LeaseKeeper:
    """Keeps one lease for the length of a `with` block.

    ask: renews it once in the ledger. name: of the work, for messages. lease_s: seconds a renewal lasts, in database
    time. poll_s: seconds between renewals, at most a third of the lease; each also reads whether the work was cancelled
    or paused. shutdown: set by the handler of SIGTERM.

    stop: set when the work is to end at its next step. lost: set when its result can no longer be committed.
    """

    def __init__(
        self,
        ask: Callable[[], LeaseAnswer],
        *,
        name: str,
        lease_s: float,
        poll_s: float,
        shutdown: threading.Event,
    ) -> None:
        self.stop = threading.Event()
        self.lost = threading.Event()
        self.lease_s = lease_s
        self._ask = ask
        self._name = name
        self._poll_s = min(poll_s, lease_s / 3)
        self._shutdown = shutdown
        self._ended = threading.Event()
        self._renewing = threading.Lock()  # renewals reach the ledger in the order in which they were true
        self._held_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def renew(self) -> bool:
        """Renew now; whether the ledger took it."""
        with self._renewing:
            asked_at = time.monotonic()
            try:
                answer = self._ask()
            except StoreError as error:
                if asked_at - self._held_at > self.lease_s and not self.lost.is_set():
                    log.warning("lease given up", work=self._name, reason=str(error))
                    self._lose()
                return False
            if not answer.held:
                self._lose()
                return False
            self._held_at = asked_at
        if answer.wanted != "continue":
            self.stop.set()
        return True

    def check_held(self) -> None:
        """Raise LeaseLost when this worker may no longer commit."""
        if self.lost.is_set():
            raise LeaseLost(f"the lease of {self._name} is gone")

    def _keep(self) -> None:
        while True:
            due = time.monotonic() + self._poll_s
            if self._ended.wait(self._poll_s):
                return
            if self._shutdown.is_set():
                self.stop.set()
            if not self._may_renew(late_s=time.monotonic() - due):
                return
            self.renew()
            if self.lost.is_set():
                return

    def _may_renew(self, late_s: float) -> bool:
        """Whether to go on. late_s: how much longer the wait took than asked for; a suspended process is late."""
        return True

    def _lose(self) -> None:
        self.lost.set()
        self.stop.set()

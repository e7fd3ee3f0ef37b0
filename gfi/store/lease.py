"""Keep a lease: renew it from a thread of its own until the work ends or the lease is lost.

The rules are the same for shards and control tasks. A lease is lost when the ledger refuses to renew it. While the
database does not answer, the lease counts as held for as long as the last renewal lasts; after that the ledger may have
given the work to another worker, and the lease counts as lost. A process that is told to stop keeps its lease until it
has released its work.
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
    """The work no longer belongs to this worker: nothing may be committed."""


class LeaseKeeper:
    """Keeps one lease for the length of a `with` block.

    ask: renews the lease once in the ledger. name: of the work, for messages. lease_s: how long a renewal lasts, in
    seconds of the database's clock. poll_s: seconds between renewals, cut to a third of the lease; each renewal also
    reads whether the work was cancelled or paused. shutdown: set by the handler of SIGTERM.

    The attribute `stop` is set when the work is to end at its next step, `lost` when its result can no longer be
    committed.
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
        self._renewing = (
            threading.Lock()
        )  # so that renewals reach the ledger in the order in which they were made
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
        """Renew now. Returns whether the ledger accepted it."""
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
        """Whether to go on renewing. late_s: how much longer than asked the wait took, as after a suspension."""
        return True

    def _lose(self) -> None:
        self.lost.set()
        self.stop.set()

"""Keeps a lease: renews it from a separate thread until the work ends or the lease is lost.

The rules are the same for shards and tasks. A lease is lost when the ledger refuses to renew it. While the database
does not answer, the lease counts as held for as long as the last renewal lasts; after that the ledger may have given
the work to another worker, and the lease counts as lost. A process that is told to stop keeps its lease until it has
released its work.

The lease of a process that exists but makes no progress must end too: its device may hang. A worker that made no
progress for `stall_s` stops renewing, writes the stacks of all its threads to stderr and ends its process.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import structlog

from gfi.domain.records import LeaseAnswer
from gfi.store.errors import StoreError, Transient

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

LATE_S = 1.0
LONGEST_PAUSE_S = 5.0
"""Seconds between two attempts after a restarting database or bucket refused a call."""
STALLED_EXIT = 70  # EX_SOFTWARE: a supervisor restarts the worker, the reaper returns its work


class LeaseLost(Exception):
    """The work no longer belongs to this worker: nothing may be committed."""


def hand_back(
    call: Callable[[], object], shutdown: threading.Event, waited: Callable[[], None] = lambda: None
) -> None:
    """Give work back to the ledger: repeat a call that a restarting database refuses, with growing pauses, until it is
    answered or the process is told to stop. waited: is called before each pause.

    A worker can do nothing without the database, so it waits. Otherwise its overdue lease would count as a death, and
    what it worked on would become a suspect.
    """
    pause = 0.1
    while True:
        try:
            call()
            return
        except Transient as error:
            log.warning("waiting to give the work back", reason=str(error))
            waited()
            if shutdown.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_S)
        except StoreError as error:
            log.warning("not given back", reason=str(error))
            return


def end_process() -> None:
    """Dump every thread's stack and end this process at once, without clean-up that could hang as well."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(STALLED_EXIT)


class LeaseKeeper:
    """Keeps one lease for the length of a `with` block.

    ask: renews the lease once in the ledger. name: the name of the work, for messages. lease_s: how long a renewal
    lasts, in seconds of the database's clock. poll_s: seconds between renewals, cut to a third of the lease; each
    renewal also reads whether the work was cancelled or paused. shutdown: set by the handler of SIGTERM. stall_s:
    seconds without progress after which `on_stall` is called; None for work that does not report progress.

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
        stall_s: float | None = None,
        on_stall: Callable[[], None] = end_process,
    ) -> None:
        self.stop = threading.Event()
        self.lost = threading.Event()
        self.lease_s = lease_s
        self._ask = ask
        self._name = name
        self._poll_s = min(poll_s, lease_s / 3)
        self._shutdown = shutdown
        self._stall_s = stall_s
        self._on_stall = on_stall
        self._lock = threading.Lock()
        self._progressed_at = time.monotonic()
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

    def progressed(self) -> None:
        """Something advanced."""
        with self._lock:
            self._progressed_at = time.monotonic()

    def retry(self, call: Callable[[], Answer]) -> Answer:
        """Repeat a call that a restarting database or bucket refuses, with growing pauses, for the duration of one
        lease.

        Raises LeaseLost when the lease ended meanwhile, and Transient when no attempt succeeded: the work is then
        released.
        """
        pause, until = 0.1, time.monotonic() + self.lease_s
        while True:
            try:
                return call()
            except Transient as error:
                self.check_held()
                if time.monotonic() > until:
                    raise
                log.warning("waiting", reason=str(error), pause_s=round(pause, 1))
                self.lost.wait(pause)
                self.check_held()
                pause = min(2 * pause, LONGEST_PAUSE_S)
                self.progressed()

    def hand_back(self, call: Callable[[], object]) -> None:
        """See the function `hand_back`. The lease may be lost meanwhile."""
        hand_back(call, self._shutdown, self.progressed)

    def renew(self) -> bool:
        """Renew now. Returns whether the ledger accepted it. Raises what is no StoreError: asking again is no help."""
        with self._renewing:
            asked_at = time.monotonic()
            try:
                answer = self._ask()
            except Exception as error:
                if asked_at - self._held_at > self.lease_s and not self.lost.is_set():
                    log.warning("lease given up", work=self._name, reason=str(error))
                    self._lose()
                if not isinstance(error, StoreError):
                    raise
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
            try:
                self.renew()
            except Exception:
                # Any: this thread must not end. A live worker would be taken for dead, and its image for a killer.
                log.exception("lease not renewed", work=self._name)
            if self.lost.is_set():
                return

    def _may_renew(self, late_s: float) -> bool:
        """Whether to continue renewing. late_s: how much longer than requested the wait took, as after a suspension."""
        if self._stall_s is None:
            return True
        with self._lock:
            if late_s > LATE_S:  # the process was suspended; it did not stall
                self._progressed_at += late_s
            idle = time.monotonic() - self._progressed_at
        if idle <= self._stall_s:
            return True
        log.error("worker stalled", work=self._name, idle_s=round(idle, 1))
        self._on_stall()
        return False

    def _lose(self) -> None:
        self.lost.set()
        self.stop.set()

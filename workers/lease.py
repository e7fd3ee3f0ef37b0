"""The lease of a claimed shard: renewed from a thread of its own, and only while there is progress.

A lease that is renewed because a process is alive proves little: a worker whose device hangs is alive too.
So a renewal carries what the worker did since the last one, and a worker that did nothing for `stall_s`
stops renewing, writes the stacks of all its threads to stderr and ends its process. The reaper then returns
the shard, and only the rows that were in flight are suspected of having hung it.

    decoding, optimising   the rows about to be touched are written to the ledger *before* they are, so that a
                           death names its suspects even when it follows at once
    beat                   something advanced (a step, a row decoded, a part uploaded)
    stop                   set when the shard is no longer ours, or is to be cancelled or paused: finish the step
                           and leave
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import structlog

from gfi.domain.records import ShardClaim
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.errors import StoreError

log = structlog.get_logger(__name__)

LATE_S = 1.0
RETRY_S = 0.5
STALLED_EXIT = 70  # EX_SOFTWARE: a supervisor restarts the worker, the reaper returns its shard


class LeaseLost(Exception):
    """The shard belongs to somebody else now, or to nobody: commit nothing."""


def end_process() -> None:
    """Dump every thread's stack and end this process at once, without clean-up that could hang as well."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(STALLED_EXIT)


class Lease:
    """Keeps one claim alive for the length of a `with` block.

    database: used from the lease's own thread and from those that announce, one at a time.
    lease_s: seconds a renewal lasts, in database time. poll_s: how often cancellation is looked for.
    stall_s: seconds without a `beat` after which `on_stall` is called.
    shutdown: set by the process's SIGTERM handler; ends the shard like a pause does.
    """

    def __init__(
        self,
        database: Database,
        claim: ShardClaim,
        *,
        lease_s: float,
        poll_s: float,
        stall_s: float,
        shutdown: threading.Event,
        on_stall: Callable[[], None] = end_process,
    ) -> None:
        self.claim = claim
        self.stop = threading.Event()
        self.lost = threading.Event()
        self._database = database
        self._lease_s = self.term_s = lease_s
        self._poll_s = min(poll_s, lease_s / 3)
        self._stall_s = stall_s
        self._shutdown = shutdown
        self._on_stall = on_stall
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # renewals reach the ledger in the order in which they were true
        self._step = 0
        self._finished = 0
        self._decoding: frozenset[int] = frozenset()
        self._optimising: frozenset[int] = frozenset()
        self._announced: frozenset[int] = frozenset()  # what the ledger was last told
        self._beat_at = self._held_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.shard_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def beat(self, step: int | None = None) -> None:
        """Something advanced; `step` is the engine's counter when it was that."""
        with self._lock:
            self._step = self._step if step is None else step
            self._beat_at = time.monotonic()

    def finished(self, images: int) -> None:
        """How many images are done and not yet committed: what a progress bar may count."""
        with self._lock:
            self._finished = images
        self.beat()

    def decoding(self, rows: Iterable[int]) -> None:
        """Announce the rows about to be fetched and decoded, and what else may be touched with them.

        Returns once the ledger knows, or when the shard is to stop. Raises LeaseLost.
        """
        with self._lock:
            self._decoding = frozenset(rows)
        self._announce()

    def optimising(self, rows: Iterable[int]) -> None:
        """Announce the rows the engine works on; writes only what the ledger lacks. Raises LeaseLost."""
        now = frozenset(rows)
        with self._lock:
            self._optimising = now
            if now <= self._announced:
                return
        self._announce()

    def at_rest(self) -> None:
        """No image is being worked on any more: whatever happens now, none is a suspect. Raises LeaseLost."""
        with self._lock:
            self._decoding = self._optimising = frozenset()
        self.beat()
        self._renew()
        self.held()

    def held(self) -> None:
        """Raise LeaseLost when this worker may no longer commit."""
        if self.lost.is_set():
            raise LeaseLost(f"shard {self.claim.shard_id}: the lease with fence {self.claim.fence} is gone")

    def _announce(self) -> None:
        self.beat()
        while not self._renew() and not self.stop.wait(RETRY_S):
            self.beat()
        self.held()

    def _keep(self) -> None:
        while not self._waited(self._poll_s):
            if self._shutdown.is_set():
                self.stop.set()
            with self._lock:
                idle = time.monotonic() - self._beat_at
            if idle > self._stall_s:
                log.error("worker stalled", shard=self.claim.shard_id, idle_s=round(idle, 1))
                self._on_stall()
                return
            # A renewal also reads what the user wants, so one statement every `poll_s` serves both.
            self._renew()
            if self.lost.is_set():
                return

    def _waited(self, pause_s: float) -> bool:
        """Wait; True when the shard has ended. A process that was itself suspended meanwhile did not stall."""
        until = time.monotonic() + pause_s
        ended = self._ended.wait(pause_s)
        late = time.monotonic() - until
        if late > LATE_S:
            with self._lock:
                self._beat_at += late
        return ended

    def _renew(self) -> bool:
        """Whether the ledger now knows what this worker is at."""
        with self._writing:
            return self._write()

    def _write(self) -> bool:
        with self._lock:
            step, finished = self._step, self._finished
            self._announced = in_flight = self._decoding | self._optimising
        asked_at = time.monotonic()
        try:
            answer = ledger.renew_lease(
                self._database, self.claim, self._lease_s, step=step, in_flight=in_flight, finished=finished
            )
        except StoreError as error:
            # The database may be back before the lease ends. Past its end nobody can know whose shard it is.
            if asked_at - self._held_at > self._lease_s:
                log.warning("lease given up", shard=self.claim.shard_id, reason=str(error))
                self._lose()
            with self._lock:
                self._announced = frozenset()  # who knows what arrived
            return False
        if not answer.held:
            self._lose()
            return False
        self._held_at = asked_at
        if answer.wanted != "continue":
            self.stop.set()
        return True

    def _lose(self) -> None:
        self.lost.set()
        self.stop.set()
        # The reaper concluded from the silence that this process had died with its images. It had not.
        with contextlib.suppress(StoreError):
            ledger.absolve(self._database, self.claim)

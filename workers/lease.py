"""The lease of a claimed shard: renewed only while the worker makes progress, and with the rows in flight.

A lease that is renewed because a process exists proves little: a worker whose device hangs exists too. So a renewal
carries what the worker did since the last one. A worker that did nothing for `stall_s` stops renewing, writes the
stacks of all its threads to stderr and ends its process. The reaper then returns the shard, and only the rows that were
in flight are suspected of having stalled it.

    announce_decoding, announce_optimising   write the rows about to be touched to the ledger *before* they are touched,
                                             so that a death names its suspects even when it follows at once
    progressed                               something advanced (a step, a row decoded, a part uploaded)
    stop                                     set when the shard is lost, cancelled or paused: finish the step and leave
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from gfi.domain.records import LeaseAnswer, ShardClaim
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.lease import LeaseKeeper

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

LATE_S = 1.0
RETRY_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Between two attempts at what a restarting database or bucket refused."""
STALLED_EXIT = 70  # EX_SOFTWARE: a supervisor restarts the worker, the reaper returns its shard


def end_process() -> None:
    """Dump every thread's stack and end this process at once, without clean-up that could hang as well."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(STALLED_EXIT)


class ShardLease(LeaseKeeper):
    """Keeps one claim for the length of a `with` block.

    database: used from the lease's own thread and from those that announce, one at a time.
    lease_s: seconds a renewal lasts, in database time. poll_s: seconds between looks for a cancellation.
    stall_s: seconds without progress after which `on_stall` is called.
    shutdown: set by the handler of SIGTERM; ends the shard as a pause does.
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
        super().__init__(
            self._renewal, name=claim.shard_id, lease_s=lease_s, poll_s=poll_s, shutdown=shutdown
        )
        self.claim = claim
        self._database = database
        self._stall_s = stall_s
        self._on_stall = on_stall
        self._lock = threading.Lock()
        self._step = 0
        self._finished = 0
        self._decoding: frozenset[int] = frozenset()
        self._optimising: frozenset[int] = frozenset()
        self._announced: frozenset[int] = frozenset()  # what the ledger was last told
        self._progressed_at = time.monotonic()

    def progressed(self, step: int | None = None) -> None:
        """Something advanced; `step` is the engine's counter when it was that."""
        with self._lock:
            self._step = self._step if step is None else step
            self._progressed_at = time.monotonic()

    def set_finished(self, images: int) -> None:
        """How many images are done and not yet committed: what a progress bar may count."""
        with self._lock:
            self._finished = images
        self.progressed()

    def announce_decoding(self, rows: Iterable[int]) -> None:
        """Announce the rows about to be fetched and decoded, and what else may be touched with them.

        Returns once the ledger knows, or when the shard is to stop. Raises LeaseLost.
        """
        with self._lock:
            self._decoding = frozenset(rows)
        self._announce()

    def announce_optimising(self, rows: Iterable[int]) -> None:
        """Announce the rows the engine works on; writes only what the ledger lacks. Raises LeaseLost."""
        in_engine = frozenset(rows)
        with self._lock:
            self._optimising = in_engine
            if in_engine <= self._announced:
                return
        self._announce()

    def announce_nothing(self) -> None:
        """No image is being worked on any more, so that no later death suspects one. Raises LeaseLost."""
        with self._lock:
            self._decoding = self._optimising = frozenset()
        self.progressed()
        self.renew()
        self.check_held()

    def retry(self, call: Callable[[], Answer]) -> Answer:
        """Repeat what a restarting database or bucket refuses, with growing pauses, for the term of one lease.

        Raises LeaseLost when the lease ended meanwhile, Transient when it did not help: the shard is then released.
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

    def _announce(self) -> None:
        self.progressed()
        while not self.renew() and not self.stop.wait(RETRY_S):
            self.progressed()
        self.check_held()

    def _may_renew(self, late_s: float) -> bool:
        with self._lock:
            if late_s > LATE_S:  # the process was suspended; it did not stall
                self._progressed_at += late_s
            idle = time.monotonic() - self._progressed_at
        if idle <= self._stall_s:
            return True
        log.error("worker stalled", shard=self.claim.shard_id, idle_s=round(idle, 1))
        self._on_stall()
        return False

    def _renewal(self) -> LeaseAnswer:
        with self._lock:
            step, finished = self._step, self._finished
            self._announced = in_flight = self._decoding | self._optimising
        try:
            return ledger.renew_lease(
                self._database, self.claim, self.lease_s, step=step, in_flight=in_flight, finished=finished
            )
        except StoreError:
            with self._lock:
                self._announced = frozenset()  # it may or may not have arrived
            raise

    def _lose(self) -> None:
        super()._lose()
        # The reaper concluded from the silence that this process had died with its images. It had not.
        with contextlib.suppress(StoreError):
            ledger.retract_death(self._database, self.claim)

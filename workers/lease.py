"""The lease of a claimed shard: a lease as in `gfi.store.lease` that also records the rows in flight.

When a worker dies or stalls, the reaper returns its shard, and only the rows that were in flight are suspected.

    announce_decoding, announce_optimising   write the rows about to be touched to the ledger *before* they are touched,
                                             so that the suspects of a death are known even if it follows at once
    progressed                               something advanced (a step, a row decoded, a part uploaded)
    stop                                     set when the shard is lost, cancelled or paused: finish the step and leave
"""

import contextlib
import threading
from collections.abc import Callable, Iterable

from gfi.domain.records import LeaseAnswer, ShardClaim
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.lease import LeaseKeeper, end_process

RETRY_S = 0.5


class ShardLease(LeaseKeeper):
    """Keeps one claim for the length of a `with` block.

    database: used from the lease's own thread and from those that announce, one at a time.
    lease_s: seconds a renewal lasts, in database time. poll_s: seconds between checks for a cancellation.
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
            self._renewal,
            name=claim.shard_id,
            lease_s=lease_s,
            poll_s=poll_s,
            shutdown=shutdown,
            stall_s=stall_s,
            on_stall=on_stall,
        )
        self.claim = claim
        self._database = database
        self._step = 0
        self._finished = 0
        self._decoding: frozenset[int] = frozenset()
        self._optimising: frozenset[int] = frozenset()
        self._announced: frozenset[int] = frozenset()  # what was last written to the ledger

    def progressed(self, step: int | None = None) -> None:
        """Something advanced; `step` is the engine's counter, if an engine step was done."""
        with self._lock:
            self._step = self._step if step is None else step
        super().progressed()

    def set_finished(self, images: int) -> None:
        """The number of images that are done and not yet committed, for progress bars."""
        with self._lock:
            self._finished = images
        self.progressed()

    def announce_decoding(self, rows: Iterable[int]) -> None:
        """Announce the rows about to be fetched and decoded, and the other rows that are in flight with them.

        Returns when they are recorded in the ledger, or when the shard is to stop. Raises LeaseLost.
        """
        with self._lock:
            self._decoding = frozenset(rows)
        self._announce()

    def announce_optimising(self, rows: Iterable[int]) -> None:
        """Announce the rows in the engine; writes only if the ledger's record differs. Raises LeaseLost."""
        in_engine = frozenset(rows)
        with self._lock:
            self._optimising = in_engine
            if in_engine <= self._announced:
                return
        self._announce()

    def announce_nothing(self) -> None:
        """Announce that no image is in flight any more, so that a later death makes none a suspect. Raises
        LeaseLost."""
        with self._lock:
            self._decoding = self._optimising = frozenset()
        self.progressed()
        self.renew()
        self.check_held()

    def _announce(self) -> None:
        self.progressed()
        while not self.renew() and not self.stop.wait(RETRY_S):
            self.progressed()
        self.check_held()

    def _renewal(self) -> LeaseAnswer:
        with self._lock:
            step, finished = self._step, self._finished
            self._announced = in_flight = self._decoding | self._optimising
        try:
            return ledger.renew_lease(
                self._database, self.claim, self.lease_s, step=step, in_flight=in_flight, finished=finished
            )
        except Exception:
            with self._lock:
                self._announced = frozenset()  # the write may or may not have succeeded
            raise

    def _lose(self) -> None:
        super()._lose()
        # The reaper concluded from the overdue lease that this process had died. That was wrong.
        with contextlib.suppress(StoreError):
            ledger.retract_death(self._database, self.claim)

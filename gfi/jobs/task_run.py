"""Runs one claimed task and handles every way in which it can end. The same for control workers and workers.

the handler finishes                    done, with what it writes, in one transaction under the fence
SIGTERM, cancel, pause, a lost lease    the handler ends at its next check; the task is released, unless it was lost
a fault that may pass                   another attempt after a pause, from the progress that was saved; more attempts
                                        while the bucket or the database is away or a disk is full
a fault that does not pass              failed, with the reason
the process dies                        the lease runs out (`gfi.store.ledger.expire_control`)
"""

import contextlib
import platform
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.errors import MethodError
from gfi.domain.records import ControlClaim, LeaseAnswer
from gfi.store import ledger, tracing
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient, storable
from gfi.store.lease import LeaseKeeper, LeaseLost
from gfi.store.ledger.control import Write

log = structlog.get_logger(__name__)
Services = TypeVar("Services")
LONGEST_REASON = 2000
"""Characters of the reason of a failure."""
POLL_S = 1.0
"""Seconds between two checks whether the task was cancelled."""


class Interrupted(Exception):
    """The lease is lost or the process is to stop: the handler must end without writing."""


class TaskLease(LeaseKeeper):
    """Keeps the claim of one task for the length of a `with` block. stall_s: see `LeaseKeeper`."""

    def __init__(
        self,
        database: Database,
        claim: ControlClaim,
        *,
        lease_s: float,
        shutdown: threading.Event,
        stall_s: float | None = None,
    ) -> None:
        super().__init__(
            self._renewal,
            name=claim.task_id,
            lease_s=lease_s,
            poll_s=POLL_S,
            shutdown=shutdown,
            stall_s=stall_s,
        )
        self._database, self._claim = database, claim
        self._shown: Mapping[str, Any] | None = None

    def show(self, progress: Mapping[str, Any]) -> None:
        """What the next renewal writes to the ledger."""
        with self._lock:
            self._shown = dict(progress)

    def _renewal(self) -> LeaseAnswer:
        with self._lock:
            shown, self._shown = self._shown, None
        return ledger.renew_control(self._database, self._claim, self.lease_s, shown)


class TaskRun:
    """The handler's access to its task: the claim, and methods to check for a stop, report progress and commit.

    `progress` is initially what an earlier attempt saved.
    """

    def __init__(
        self,
        database: Database,
        claim: ControlClaim,
        stop: threading.Event,
        lease: TaskLease | None = None,
    ) -> None:
        self.claim = claim
        self.database, self._stop, self._lease = database, stop, lease
        self.progress: dict[str, Any] = dict(claim.progress or {})

    def check(self) -> None:
        """Raises Interrupted if the task must end at once. To be called at least every second or two."""
        if self._stop.is_set():
            raise Interrupted

    def progressed(self, **progress: Any) -> None:
        """Reports progress; `progress` (done, total, …) is shown to users within a second or two."""
        if self._lease is not None:
            self._lease.progressed()
            if progress:
                self.progress |= progress
                self._lease.show(self.progress)

    def save(self, write: Write, **progress: Any) -> None:
        """Commit an intermediate result under the fence: what `write` writes, and the progress from which a later
        attempt continues.

        Raises Interrupted if the lease is lost; nothing is written then.
        """
        self.progressed()
        self.progress |= progress
        if not self._retry(lambda: ledger.save_control(self.database, self.claim, self.progress, write)):
            raise Interrupted

    def finish(self, result: Mapping[str, Any] | None = None, write: Write | None = None) -> bool:
        """Commit the task under the fence, with what `write` writes. Returns False, and writes nothing, if the lease is
        lost; the task is given back then."""
        self.progressed()
        done = self._retry(lambda: ledger.finish_control(self.database, self.claim, result, write))
        if not done:  # this worker lives: a lease that ran out was counted as a death
            self.hand_back(lambda: ledger.release_control(self.database, self.claim, "its lease was lost"))
        return done

    def hand_back(self, call: Callable[[], object]) -> None:
        """Give the task back to the ledger; waits while the database is away. See `gfi.store.lease.hand_back`."""
        if self._lease is not None:
            self._lease.hand_back(call)
        else:
            with contextlib.suppress(StoreError):
                call()

    def _retry(self, call: Callable[[], bool]) -> bool:
        try:
            return call() if self._lease is None else self._lease.retry(call)
        except LeaseLost:
            return False


Handler = Callable[[Services, TaskRun], str]
"""Does one task and commits it; returns the outcome, for the log. It calls `check` and `progressed` often."""


def perform(services: Services, run: TaskRun, handlers: Mapping[str, Handler[Services]]) -> str:
    """Do one claimed task. Returns the outcome; an expected fault is recorded, not raised."""
    claim = run.claim
    with tracing.span(str(claim.kind), claim.job_id, task=claim.task_id, attempt=claim.attempt) as note:
        outcome = _perform(services, run, handlers)
        note(outcome=outcome)
        return outcome


def _perform(services: Services, run: TaskRun, handlers: Mapping[str, Handler[Services]]) -> str:
    database = run.database
    try:
        return handlers[run.claim.kind](services, run)
    except Interrupted:
        run.hand_back(lambda: ledger.release_control(database, run.claim, "its worker was told to stop"))
        return "interrupted"
    except (Transient, Unavailable) as error:
        return _failed(run, str(error), retry=True, outage=True)
    except (StoreError, DatasetError, MethodError) as error:
        return _failed(run, str(error), retry=False)
    except OSError as error:
        # A fault of this machine, such as a full disk. (Faults of a dataset are DatasetErrors.)
        return _failed(run, f"machine {platform.node()}: {error}", retry=True, outage=True)
    except Exception as error:
        log.exception("task failed")
        return _failed(run, f"{type(error).__name__}: {error}", retry=True)


def _failed(run: TaskRun, reason: str, *, retry: bool, outage: bool = False) -> str:
    # The text may quote bytes of a file. What the database refuses would be no failure, but a lease that runs out.
    reason = storable(reason)[:LONGEST_REASON]
    log.warning("task failed", reason=reason, retry=retry)
    run.hand_back(lambda: ledger.fail_control(run.database, run.claim, reason, retry=retry, outage=outage))
    return "failed"

"""What a control task does, by its kind: plan a job, collect the rows of a retry, report, sweep.

A task that fails for a reason time may heal (the bucket is away) is tried again with growing pauses; one that
time does not heal (no such directory) ends at once, with the reason in its job.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping

import structlog

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind
from gfi.jobs import report, sweep
from gfi.store import ledger
from gfi.store.errors import StoreError, Transient
from scheduler import planning
from scheduler.services import Interrupted, Services

log = structlog.get_logger(__name__)


def perform(services: Services, claim: ControlClaim, stop: threading.Event) -> str:
    """Do one claimed task; returns what became of it. Never raises for an expected fault."""

    def alive() -> None:
        if stop.is_set():
            raise Interrupted

    try:
        return HANDLERS[claim.kind](services, claim, alive)
    except Interrupted:
        with contextlib.suppress(StoreError):  # the lease runs out by itself: same effect, later
            ledger.release_control(services.database, claim, "its worker was told to stop")
        return "interrupted"
    except (Transient, Unavailable) as error:
        return _failed(services, claim, str(error), retry=True)
    except (StoreError, DatasetError) as error:
        return _failed(services, claim, str(error), retry=False)
    except Exception as error:
        log.exception("control task failed")
        return _failed(services, claim, f"{type(error).__name__}: {error}", retry=True)


def _report(services: Services, claim: ControlClaim, alive: Callable[[], None]) -> str:
    """At the end of a job: write committed.json and summary.json."""
    assert claim.job_id is not None
    report.write_committed(services.database, services.bucket, claim.job_id)
    alive()
    summed = report.write_summary(services.database, services.bucket, claim.job_id)
    done = ledger.finish_control(services.database, claim, {"images": summed.total})
    return "written" if done else "too late"


def _list_parts(services: Services, claim: ControlClaim, alive: Callable[[], None]) -> str:
    """Every thousand parts: write committed.json."""
    assert claim.job_id is not None
    listed = report.write_committed(services.database, services.bucket, claim.job_id)
    done = ledger.finish_control(services.database, claim, {"parts": listed})
    return f"{listed} parts listed" if done else "too late"


def _sweep(services: Services, claim: ControlClaim, alive: Callable[[], None]) -> str:
    """Delete orphaned parts from the bucket."""
    age = float(claim.payload.get("safe_age_s", sweep.SAFE_AGE_S))
    swept = sweep.sweep_parts(services.database, services.bucket, safe_age_s=age, dry_run=False, alive=alive)
    ledger.finish_control(services.database, claim, swept.to_json())
    return f"{swept.deleted} orphans deleted"


Handler = Callable[[Services, ControlClaim, Callable[[], None]], str]
"""Does one task; calls its last argument now and then, which raises Interrupted when the lease is gone."""

HANDLERS: Mapping[ControlKind, Handler] = {
    ControlKind.PLAN: planning.plan,
    ControlKind.RETRY: planning.plan_retry,
    ControlKind.REPORT: _report,
    ControlKind.LIST: _list_parts,
    ControlKind.SWEEP: _sweep,
}


def _failed(services: Services, claim: ControlClaim, reason: str, *, retry: bool) -> str:
    log.warning("control task failed", reason=reason, retry=retry)
    try:
        ledger.fail_control(services.database, claim, reason, retry=retry)
    except StoreError as error:  # the lease runs out by itself: same effect, later
        log.warning("could not be recorded", reason=str(error))
    return "failed"

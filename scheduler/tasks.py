"""What a control task does, by its kind: plan a job, collect the rows of a retry, report, sweep.

A task that fails for a reason that may pass (the bucket is away) is tried again with growing pauses. One whose reason
does not pass (no such directory) ends at once, with the reason in its job.
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
from scheduler.services import ControlServices, Interrupted

log = structlog.get_logger(__name__)


def perform(services: ControlServices, claim: ControlClaim, stop: threading.Event) -> str:
    """Do one claimed task. Returns what became of it; an expected fault is recorded, not raised."""

    def check() -> None:
        if stop.is_set():
            raise Interrupted

    try:
        return HANDLERS[claim.kind](services, claim, check)
    except Interrupted:
        with contextlib.suppress(StoreError):  # otherwise the lease runs out: the same effect, later
            ledger.release_control(services.database, claim, "its worker was told to stop")
        return "interrupted"
    except (Transient, Unavailable) as error:
        return _failed(services, claim, str(error), retry=True)
    except (StoreError, DatasetError) as error:
        return _failed(services, claim, str(error), retry=False)
    except Exception as error:
        log.exception("control task failed")
        return _failed(services, claim, f"{type(error).__name__}: {error}", retry=True)


def _report(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> str:
    """At the end of a job: write committed.json and summary.json."""
    assert claim.job_id is not None
    report.write_committed(services.database, services.bucket, claim.job_id)
    check()
    summed = report.write_summary(services.database, services.bucket, claim.job_id)
    done = ledger.finish_control(services.database, claim, {"images": summed.total})
    return "written" if done else "too late"


def _list_parts(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> str:
    """Every thousand parts: write committed.json."""
    assert claim.job_id is not None
    listed = report.write_committed(services.database, services.bucket, claim.job_id)
    done = ledger.finish_control(services.database, claim, {"parts": listed})
    return f"{listed} parts listed" if done else "too late"


def _sweep(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> str:
    """Delete orphaned parts from the bucket."""
    swept = sweep.sweep_parts(
        services.database, services.bucket, safe_age_s=sweep.SAFE_AGE_S, dry_run=False, check=check
    )
    ledger.finish_control(services.database, claim, swept.to_json())
    return f"{swept.deleted} orphans deleted"


def _failed(services: ControlServices, claim: ControlClaim, reason: str, *, retry: bool) -> str:
    log.warning("control task failed", reason=reason, retry=retry)
    try:
        ledger.fail_control(services.database, claim, reason, retry=retry)
    except StoreError as error:  # the lease runs out: the same effect, later
        log.warning("could not be recorded", reason=str(error))
    return "failed"


Handler = Callable[[ControlServices, ControlClaim, Callable[[], None]], str]
"""Does one task. It calls its last argument now and then, which raises Interrupted when the lease is lost."""

HANDLERS: Mapping[ControlKind, Handler] = {
    ControlKind.PLAN: planning.plan,
    ControlKind.RETRY: planning.plan_retry,
    ControlKind.REPORT: _report,
    ControlKind.LIST: _list_parts,
    ControlKind.SWEEP: _sweep,
}

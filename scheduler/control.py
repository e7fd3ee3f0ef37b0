"""What a control task does, by its kind: plan a job, collect the rows of a retry, report, sweep.

A task that fails for a reason time may heal (the bucket is away) is tried again with growing pauses; one that
time does not heal (no such directory) ends at once, with the reason in its job.
"""

import contextlib
import threading
from dataclasses import dataclass

import structlog

from datasets.errors import DatasetError, Unavailable
from scheduler import planner, reporter, sweeper
from store import ledger
from store.database import Database
from store.errors import StoreError, Transient
from store.objects import Bucket
from store.records import ControlClaim
from store.settings import Settings
from store.tables import ControlKind

log = structlog.get_logger(__name__)


class Interrupted(Exception):
    """The lease is lost or the process is to stop: leave everything as it is."""


@dataclass(frozen=True)
class Services:
    """What the tasks share. One a process."""

    settings: Settings
    database: Database
    bucket: Bucket


def perform(services: Services, claim: ControlClaim, stop: threading.Event) -> str:
    """Do one claimed task; returns what became of it. Never raises for an expected fault."""
    work = {
        ControlKind.PLAN: planner.plan,
        ControlKind.RETRY: planner.plan_retry,
        ControlKind.REPORT: reporter.report,
        ControlKind.LIST: reporter.list_parts,
        ControlKind.SWEEP: sweeper.sweep,
    }[claim.kind]

    def alive() -> None:
        if stop.is_set():
            raise Interrupted

    try:
        return work(services, claim, alive)
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


def _failed(services: Services, claim: ControlClaim, reason: str, *, retry: bool) -> str:
    log.warning("control task failed", reason=reason, retry=retry)
    try:
        ledger.fail_control(services.database, claim, reason, retry=retry)
    except StoreError as error:  # the lease runs out by itself: same effect, later
        log.warning("could not be recorded", reason=str(error))
    return "failed"

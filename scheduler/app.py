"""The Celery application of queue `control`: planning, retries, reports and sweeps, each leased and fenced.

    celery -A scheduler.app worker --queues control --pool threads --concurrency 4

It needs no torch and no GPU, so it can run on a small machine together with the scheduler. `gfi worker --queues
control` is the same.
"""

import threading
from functools import cache
from typing import Any

import structlog
from celery.signals import worker_ready, worker_shutting_down

from gfi import __version__
from gfi.domain.queues import CONTROL, CONTROL_SLOTS
from gfi.domain.records import ControlClaim
from gfi.jobs.task_run import TaskLease
from gfi.store import ledger
from gfi.store.broker import make_celery
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.heartbeat import start_heartbeat, worker_name
from gfi.store.logs import configure_logs
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from scheduler import tasks
from scheduler.services import ControlServices
from scheduler.slots import Slots, is_long

log = structlog.get_logger(__name__)
settings = Settings.load().require_stack()
app = make_celery(settings, "gfi-control")
configure_logs()
_shutdown = threading.Event()
_slots = Slots(CONTROL_SLOTS)


@cache
def _services() -> ControlServices:
    return ControlServices(settings, Database(settings.require_database()), Bucket.from_settings(settings))


@worker_ready.connect
def _ready(**_: Any) -> None:
    log.info("control worker ready", worker=worker_name())
    start_heartbeat(
        _services().database,
        device=None,
        queues=app.amqp.queues.consume_from,
        version=__version__,
        shutdown=_shutdown,
        facts={"tasks": sorted(tasks.HANDLERS)},
        alive_file=settings.alive_file,
    )


@worker_shutting_down.connect
def _shutting_down(**_: Any) -> None:
    _shutdown.set()


@app.task(name=CONTROL)
def run_control(task_id: str | None = None) -> str:
    """Claim one control task, preferably `task_id`, and do it. Returns the outcome."""
    if _shutdown.is_set():
        return "stopping"
    services = _services()
    outcomes: list[str] = []
    while not _shutdown.is_set():
        try:
            claim = _claim(services, task_id)
        except StoreError as error:
            log.warning("no claim", reason=str(error))
            return "; ".join(outcomes) or "no claim"
        if claim is None:
            break
        outcomes.append(_perform(services, claim))
        if not is_long(claim):
            break
        task_id = None  # the messages of long tasks without a free slot are used up
    return "; ".join(outcomes) or "nothing due"


def _claim(services: ControlServices, prefer: str | None) -> ControlClaim | None:
    def take(wanted: ledger.Wanted) -> ControlClaim | None:
        return ledger.claim_control(services.database, worker_name(), settings.lease_s, prefer, wanted)

    return _slots.claim(take, sorted(tasks.HANDLERS))


def _perform(services: ControlServices, claim: ControlClaim) -> str:
    structlog.contextvars.bind_contextvars(
        job=claim.job_id, task=claim.task_id, kind=claim.kind, fence=claim.fence
    )
    try:
        with TaskLease(services.database, claim, lease_s=settings.lease_s, shutdown=_shutdown) as lease:
            outcome = tasks.perform(services, claim, lease.stop, lease)
        log.info("control task", outcome=outcome)
        return outcome
    finally:
        _slots.release(claim)
        structlog.contextvars.unbind_contextvars("job", "task", "kind", "fence")

"""The Celery application of queue `control`: planning, retries, reports and sweeps, each leased and fenced.

    celery -A scheduler.app worker --queues control --pool threads --concurrency 1

It needs no torch and no GPU, so it runs beside the scheduler on a small machine. `gfi worker --queues control` is
the same.
"""

import threading
from functools import cache
from typing import Any

import structlog
from celery.signals import worker_ready, worker_shutting_down

from gfi import __version__
from gfi.domain.queues import CONTROL
from gfi.domain.records import ControlClaim, LeaseAnswer
from gfi.store import ledger
from gfi.store.broker import make_celery
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.heartbeat import start_heartbeat, worker_name
from gfi.store.lease import LeaseKeeper
from gfi.store.logs import configure_logs
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from scheduler import tasks
from scheduler.services import ControlServices

log = structlog.get_logger(__name__)
settings = Settings.load().require_stack()
app = make_celery(settings, "gfi-control")
configure_logs()
_shutdown = threading.Event()

RENEWAL_S = 1.0


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
    )


@worker_shutting_down.connect
def _shutting_down(**_: Any) -> None:
    _shutdown.set()


def _lease(services: ControlServices, claim: ControlClaim) -> LeaseKeeper:
    def renew() -> LeaseAnswer:
        return LeaseAnswer(ledger.renew_control(services.database, claim, settings.lease_s), "continue")

    return LeaseKeeper(
        renew, name=claim.task_id, lease_s=settings.lease_s, poll_s=RENEWAL_S, shutdown=_shutdown
    )


@app.task(name=CONTROL)
def run_control(task_id: str | None = None) -> str:
    """Claim one control task, preferably `task_id`, and do it. Returns what became of it."""
    if _shutdown.is_set():
        return "stopping"
    services = _services()
    try:
        claim = ledger.claim_control(services.database, worker_name(), settings.lease_s, prefer=task_id)
    except StoreError as error:
        log.warning("no claim", reason=str(error))
        return "no claim"
    if claim is None:
        return "nothing due"
    structlog.contextvars.bind_contextvars(
        job=claim.job_id, task=claim.task_id, kind=claim.kind, fence=claim.fence
    )
    try:
        with _lease(services, claim) as lease:
            outcome = tasks.perform(services, claim, lease.stop)
        log.info("control task", outcome=outcome)
        return outcome
    finally:
        structlog.contextvars.unbind_contextvars("job", "task", "kind", "fence")

"""The only Celery task of a worker: receive a hint, claim a shard or a task that needs a network, do it.

The message is only a hint. The claim decides what is done, because the ledger is the source of truth: a duplicate or
late message finds nothing to claim and ends. The arguments name a queue and a shard or task, never code, paths or
settings.
"""

import time

import structlog

from gfi.domain.queues import EXPLAIN
from gfi.domain.records import ControlClaim, ShardClaim
from gfi.store import ledger
from gfi.store.errors import StoreError
from workers.app import app
from workers.app import services as process_services
from workers.handlers import HANDLERS, perform_task
from workers.services import WorkerServices
from workers.shard import REFUSED, explain_shard

log = structlog.get_logger(__name__)

NOTHING_DUE_S = 0.5
"""Pause in seconds after a hint without anything to claim. If all jobs are for another kind of device, every hint is
useless to this worker; the pause leaves the hints to workers that can use them."""


@app.task(name=EXPLAIN)
def explain(queue: str, shard_id: str | None = None) -> str:
    """Claim one shard or task of `queue`, preferably `shard_id`, and do it. Returns the outcome."""
    services = process_services()
    if services.shutdown.is_set():
        return "stopping"
    try:
        claim = ledger.claim_work(
            services.database,
            services.name,
            queue,
            services.settings.lease_s,
            prefer=shard_id,
            device_kind=services.device_kind,
            kinds=sorted(HANDLERS),
        )
    except StoreError as error:
        # The row stays pending and its hint is published again after a lease.
        log.warning("no claim", reason=str(error))
        return "no claim"
    if claim is None:
        services.shutdown.wait(NOTHING_DUE_S)
        return "nothing due"
    return _do_task(services, claim) if isinstance(claim, ControlClaim) else _do_shard(services, claim)


def _do_task(services: WorkerServices, claim: ControlClaim) -> str:
    structlog.contextvars.bind_contextvars(
        job=claim.job_id, task=claim.task_id, kind=claim.kind, fence=claim.fence
    )
    try:
        outcome = perform_task(services, claim)
        log.info("task", outcome=outcome)
        return outcome
    finally:
        structlog.contextvars.unbind_contextvars("job", "task", "kind", "fence")


def _do_shard(services: WorkerServices, claim: ShardClaim) -> str:
    structlog.contextvars.bind_contextvars(job=claim.job_id, shard=claim.shard_id, fence=claim.fence)
    started = time.monotonic()
    services.shard_id = claim.shard_id
    try:
        outcome = explain_shard(services, claim)
        log.info(
            "shard",
            outcome=outcome,
            images=claim.stop - claim.start,
            took_s=round(time.monotonic() - started, 2),
        )
        services.rest(outcome == REFUSED)
        return outcome
    finally:
        services.shard_id = None
        structlog.contextvars.unbind_contextvars("job", "shard", "fence")

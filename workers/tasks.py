"""The one task of a worker: take a hint, claim what is due, explain it.

The message is a hint. What is explained is decided by the claim: the ledger's row is the truth, and a duplicate
or late message finds nothing and ends. The arguments name a queue and a shard, never code, paths or settings.
"""

import time

import structlog
from celery import shared_task

from gfi.domain.queues import EXPLAIN
from gfi.store import ledger
from gfi.store.errors import StoreError
from workers.app import services
from workers.shard import REFUSED, explain_shard

log = structlog.get_logger(__name__)

NOTHING_DUE_S = 0.5
"""Pause after a hint that was of no use, as all are to an idle worker beside jobs of another kind of device: those who
can use them get them first."""


@shared_task(name=EXPLAIN)
def explain(queue: str, shard_id: str | None = None) -> str:
    """Claim one shard of `queue`, preferably `shard_id`, and explain it. Returns what became of it."""
    here = services()
    if here.shutdown.is_set():
        return "stopping"
    try:
        claim = ledger.claim_shard(
            here.database,
            here.name,
            queue,
            here.settings.lease_s,
            prefer=shard_id,
            device_kind=here.device_kind,
        )
    except StoreError as error:
        # The row stays pending and is published again after a lease.
        log.warning("no claim", reason=str(error))
        return "no claim"
    if claim is None:
        here.shutdown.wait(NOTHING_DUE_S)
        return "nothing due"
    structlog.contextvars.bind_contextvars(job=claim.job_id, shard=claim.shard_id, fence=claim.fence)
    started = time.monotonic()
    here.shard_id = claim.shard_id
    try:
        outcome = explain_shard(here, claim)
        log.info(
            "shard",
            outcome=outcome,
            images=claim.stop - claim.start,
            took_s=round(time.monotonic() - started, 2),
        )
        here.rest(outcome == REFUSED)
        return outcome
    finally:
        here.shard_id = None
        structlog.contextvars.unbind_contextvars("job", "shard", "fence")

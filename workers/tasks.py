"""The one task of a worker: receive a hint, claim a shard, explain it.

The message is only a hint. The claim decides which shard is explained, since the ledger's row is the truth: a duplicate
or late message finds nothing and ends. The arguments name a queue and a shard, never code, paths or settings.
"""

import time

import structlog

from gfi.domain.queues import EXPLAIN
from gfi.store import ledger
from gfi.store.errors import StoreError
from workers.app import app
from workers.app import services as process_services
from workers.shard import REFUSED, explain_shard

log = structlog.get_logger(__name__)

NOTHING_DUE_S = 0.5
"""Pause after a hint for which there was nothing to claim. Where all jobs are for another kind of device, every hint is
useless to this worker; the pause leaves them to the workers that can use them."""


@app.task(name=EXPLAIN)
def explain(queue: str, shard_id: str | None = None) -> str:
    """Claim one shard of `queue`, preferably `shard_id`, and explain it. Returns what became of it."""
    services = process_services()
    if services.shutdown.is_set():
        return "stopping"
    try:
        claim = ledger.claim_shard(
            services.database,
            services.name,
            queue,
            services.settings.lease_s,
            prefer=shard_id,
            device_kind=services.device_kind,
        )
    except StoreError as error:
        # The row stays pending and its hint is published again after a lease.
        log.warning("no claim", reason=str(error))
        return "no claim"
    if claim is None:
        services.shutdown.wait(NOTHING_DUE_S)
        return "nothing due"
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

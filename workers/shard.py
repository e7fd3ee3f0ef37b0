"""Explains one claimed shard and handles everything that can go wrong.

a photograph cannot be read, prepared    that row gets status `error` with the reason; other rows are not affected
or measured, or its pictures not drawn
the bucket or the database is away       retried within the lease; then the shard is released without blame
the lease is lost                        nothing is committed; a part already uploaded is an orphan for the sweep
SIGTERM, cancel, pause                   the step ends, the finished prefix is committed, the rest is pending again
out of memory on the device              the shard starts again with a smaller batch, a new execution profile
a shard takes longer than planned        after `shard_seconds` its finished prefix is committed and the rest is
                                         pending again, so that other jobs can run and little work can be lost
"""

from collections.abc import Callable
from typing import Any

import structlog

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.errors import MethodError, OutOfMemory
from gfi.domain.records import ShardClaim
from gfi.method.engine import Engine
from gfi.store import ledger, tracing
from gfi.store.errors import NotFound, StoreError, Transient, storable
from gfi.store.lease import LeaseLost, hand_back
from workers.lease import ShardLease
from workers.loaded_engines import ModelChanged
from workers.services import WorkerServices
from workers.shard_run import ShardRun

log = structlog.get_logger(__name__)

REFUSED = "refused"
"""What `explain_shard` returns if the fault may be this worker's own: it should pause before the next shard."""
CANCELLATION_POLL_S = 1.0
"""Seconds between two checks whether the job was cancelled or paused; a cancellation must take effect within two
seconds."""


def explain_shard(services: WorkerServices, claim: ShardClaim) -> str:
    """Explain one claimed shard; returns the outcome, for the log. Never raises for an expected fault."""
    with tracing.span("shard", claim.job_id, shard=claim.shard_id, images=claim.stop - claim.start) as note:
        outcome = _explain_shard(services, claim)
        note(outcome=outcome)
        return outcome


def _explain_shard(services: WorkerServices, claim: ShardClaim) -> str:
    settings = services.settings
    try:
        with ShardLease(
            services.database,
            claim,
            lease_s=settings.lease_s,
            poll_s=CANCELLATION_POLL_S,
            stall_s=settings.stall_s,
            shutdown=services.shutdown,
        ) as lease:
            return _explain(services, claim, lease)
    except LeaseLost as error:
        log.warning("lease lost", reason=str(error))
        _release_or_retract(
            services, claim, lambda: ledger.release_shard(services.database, claim, "the lease was lost")
        )
        return "lost"
    except Unavailable as error:
        return _release(services, claim, "dataset unavailable", str(error), transient=True)
    except (ModelChanged, NotFound, DatasetError) as error:
        return _fail(services, claim, "model" if isinstance(error, ModelChanged) else "dataset", str(error))
    except Transient as error:
        return _release(services, claim, "store", str(error), transient=True)
    except StoreError as error:
        # It refuses this worker, perhaps only this one (wrong clock, old keys): another worker may succeed.
        _release(services, claim, "store", str(error), transient=True)
        return REFUSED
    except OSError as error:
        # Faults of this machine: a full disk, too many open files. (Faults of a dataset raise DatasetError.)
        _release(services, claim, "machine", str(error), transient=True)
        return REFUSED
    except OutOfMemory as error:
        return _release(services, claim, "memory", str(error))
    except MethodError as error:
        return _fail(services, claim, "method", str(error))
    except Exception as error:
        # A bug of this program or a fault of the network (an unsupported shape). After a few attempts the shard fails.
        log.exception("shard failed")
        return _release(services, claim, "internal", f"{type(error).__name__}: {error}")


def _explain(services: WorkerServices, claim: ShardClaim, lease: ShardLease) -> str:
    engine = services.engines.get(claim.config, claim.profile)
    lease.progressed()
    profile = claim.profile or _freeze_profile(services, claim, lease, engine)
    if profile != engine.profile.to_json():
        engine = services.engines.get(claim.config, profile)
        lease.progressed()
    if claim.quarantined is not None:
        return ShardRun(services, claim, lease, engine).quarantine()
    while True:
        try:
            return ShardRun(services, claim, lease, engine).run()
        except OutOfMemory as error:
            if error.suggested is None:
                raise
            log.warning("smaller batch", was=error.batch, batch=error.suggested)
            services.engines.shrink(claim.config, error.suggested)
            engine = services.engines.get(claim.config, profile)
            profile = _replace_profile(services, claim, lease, profile, engine)


def _freeze_profile(
    services: WorkerServices, claim: ShardClaim, lease: ShardLease, engine: Engine
) -> dict[str, Any]:
    profile = engine.profile
    return lease.retry(
        lambda: ledger.freeze_profile(
            services.database, claim.job_id, profile.to_json(), profile.device_kind, claim
        )
    )


def _replace_profile(
    services: WorkerServices, claim: ShardClaim, lease: ShardLease, old: dict[str, Any], engine: Engine
) -> dict[str, Any]:
    new = engine.profile.to_json()
    return lease.retry(lambda: ledger.replace_profile(services.database, claim.job_id, old, new, claim))


def _fail(services: WorkerServices, claim: ShardClaim, kind: str, reason: str) -> str:
    """End the job, because every shard would fail for the same reason (model, layer or dataset). If another worker is
    working on the job, the reason concerns only this worker, and the shard is released instead.
    """
    reason = storable(reason)
    try:
        ended = ledger.fail_job(
            services.database, claim.job_id, reason, kind, worker=services.name, claim=claim
        )
    except StoreError as error:
        ended = False
        log.warning("the job could not be failed", reason=str(error))
    if ended:
        log.error("job failed", kind=kind, reason=reason)
        return _release(services, claim, kind, reason)
    _release(services, claim, kind, reason, transient=True)
    return REFUSED


def _release(
    services: WorkerServices, claim: ShardClaim, kind: str, reason: str, *, transient: bool = False
) -> str:
    reason = storable(reason)
    log.warning("shard released", kind=kind, reason=reason)
    _release_or_retract(
        services,
        claim,
        lambda: ledger.release_shard(
            services.database, claim, reason, failure_class=kind, transient=transient
        ),
    )
    return "released"


def _release_or_retract(services: WorkerServices, claim: ShardClaim, release: Callable[[], bool]) -> None:
    """Release the shard; if the lease is already lost, retract the death that was concluded from it."""
    hand_back(lambda: release() or ledger.retract_death(services.database, claim), services.shutdown)

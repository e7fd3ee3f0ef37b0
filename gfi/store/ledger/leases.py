"""Leases."""

from collections.abc import Iterable

import sqlalchemy as sa

from gfi.domain.records import (
    LeaseAnswer,
    ShardClaim,
)
from gfi.domain.states import JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.ledger.guards import lock_job, shard_transition
from gfi.store.ledger.incidents import add_incident
from gfi.store.tables import in_state, jobs, shards

# Failures of what the images do not own. A transient one (bucket, database, memory of the card) is worth
# waiting for, with a back-off up to five minutes: some two hours in all. Anything else shows itself quickly.
TRANSIENT_RELEASES = 30
OTHER_RELEASES = 3
_LONGEST_DELAY_S = 300.0


def renew_lease(
    db: Database,
    claim: ShardClaim,
    lease_s: float,
    *,
    step: int = 0,
    in_flight: Iterable[int] = (),
    finished: int = 0,
) -> LeaseAnswer:
    """leased → leased, for `lease_s` more, with what the worker is at.

    `step`: the engine's counter, proof of progress. `in_flight`: positions in the manifest being fetched,
    decoded or explained; should the worker die, these alone are suspects. `finished`: images done and not
    committed. An answer that is not `held` means: stop, upload nothing more, commit nothing.
    """
    with db.begin() as connection:
        changed = connection.execute(
            sa.update(shards)
            .where(is_held(claim))
            .values(
                renewed_at=now(),
                lease_until=now() + lease_s,
                step=step,
                in_flight=sorted(set(in_flight)),
                finished=finished,
            )
        )
        return _answer(connection, claim, held=bool(changed.rowcount))


def check_lease(db: Database, claim: ShardClaim) -> LeaseAnswer:
    """The same answer without renewing: one short read, for noticing a cancellation between renewals."""
    with db.read() as connection:
        held = connection.execute(sa.select(shards.c.id).where(is_held(claim))).scalar() is not None
        return _answer(connection, claim, held=held)


def _answer(connection: sa.Connection, claim: ShardClaim, *, held: bool) -> LeaseAnswer:
    job = connection.execute(
        sa.select(jobs.c.state, jobs.c.paused).where(jobs.c.id == claim.job_id)
    ).one_or_none()
    if job is None or job.state != JobState.RUNNING:
        return LeaseAnswer(held and job is not None, "cancel")
    return LeaseAnswer(held, "pause" if job.paused else "continue")


def release_shard(
    db: Database,
    claim: ShardClaim,
    reason: str,
    *,
    failure_class: str | None = None,
    transient: bool = False,
    delay_s: float | None = None,
) -> bool:
    """leased → pending, by its worker; no image is blamed. False when the lease was lost.

    Without `failure_class` the release is voluntary (stopping, pausing) and not counted. Otherwise it is
    tried again after a back-off (`delay_s` overrides it), and after `TRANSIENT_RELEASES` or
    `OTHER_RELEASES` in a row without progress → failed, with the reason and its class. In a cancelled job
    → cancelled.
    """
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id, shared=True)
        query = sa.select(shards).where(is_held(claim)).with_for_update()
        shard = connection.execute(query).one_or_none()
        if shard is None:
            return False
        releases = shard.releases + (failure_class is not None)
        after = ShardState.PENDING
        if failure_class is not None and releases >= (TRANSIENT_RELEASES if transient else OTHER_RELEASES):
            after = ShardState.FAILED
        if job.state != JobState.RUNNING:
            after = ShardState.CANCELLED
        if delay_s is None:
            delay_s = min(_LONGEST_DELAY_S, 2.0**releases) if failure_class is not None else 0.0
        connection.execute(
            sa.update(shards)
            .where(shards.c.id == shard.id, shard_transition(shards, ShardState.LEASED, after))
            .values(
                state=after.value,
                releases=releases,
                reason=reason if failure_class is not None else None,
                failure_class=failure_class,
                not_before=now() + delay_s,
                published_at=None,
                finished=0,
                in_flight=None,
            )
        )
        if failure_class is not None:
            kind = "failed" if after is ShardState.FAILED else "release"
            add_incident(connection, shard, kind, reason=reason, failure_class=failure_class)
        return True


def is_held(claim: ShardClaim) -> sa.ColumnElement[bool]:
    return sa.and_(
        shards.c.id == claim.shard_id,
        shards.c.fence == claim.fence,
        in_state(shards, ShardState.LEASED),
    )

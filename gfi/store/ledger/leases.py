"""The lease of a shard: renewed, released.

    leased → leased | pending | failed | cancelled

A claim has a fence, one more than that of the claim before. Renewing, releasing and committing require that the shard
is still leased under it, so a worker that has lost its lease changes nothing. What happens when a lease runs out is in
`gfi.store.ledger.reaper`.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from gfi.domain.pauses import doubled
from gfi.domain.records import LeaseAnswer, ShardClaim
from gfi.domain.states import JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.ledger.guards import held, lock_job, shard_transition
from gfi.store.ledger.incidents import add_incident
from gfi.store.tables import jobs, shards

# After this many failures in a row that no image caused, a shard fails. After a transient failure (bucket, database,
# memory of the device) it waits up to five minutes before each attempt, about two hours in all.
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
    """leased → leased, for `lease_s` more, and record what the worker is doing.

    `step`: the counter of the engine, which shows progress. `in_flight`: positions in the manifest that are
    being fetched, decoded or explained; only these are suspects if the worker dies. `finished`: images that
    are done and not committed. If the answer is not `held`, the worker must stop, upload nothing and commit nothing.
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
        return _answer(connection, claim, is_mine=bool(changed.rowcount))


def _answer(connection: sa.Connection, claim: ShardClaim, *, is_mine: bool) -> LeaseAnswer:
    job = connection.execute(
        sa.select(jobs.c.state, jobs.c.paused).where(jobs.c.id == claim.job_id)
    ).one_or_none()
    if job is None or job.state != JobState.RUNNING:
        return LeaseAnswer(is_mine and job is not None, "cancel")
    return LeaseAnswer(is_mine, "pause" if job.paused else "continue")


def release_shard(
    db: Database,
    claim: ShardClaim,
    reason: str,
    *,
    failure_class: str | None = None,
    transient: bool = False,
    delay_s: float | None = None,
) -> bool:
    """leased → pending, by its worker; no image is blamed. Returns False when the lease was lost.

    Without `failure_class` the release is voluntary (stopping, pausing) and not counted. Otherwise the
    shard is claimable again after a pause (`delay_s`, by default one that doubles), and after
    `TRANSIENT_RELEASES` or `OTHER_RELEASES` in a row without progress → failed, with the reason and its
    class. In a cancelled job → cancelled.
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
            delay_s = doubled(1.0, releases, _LONGEST_DELAY_S) if failure_class is not None else 0.0
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
    """The condition that a shard is leased under the fence of this claim."""
    return held(shards, claim.shard_id, claim.fence)

"""What happens to a shard in a worker's hands: claimed, renewed, committed, released.

    pending → leased → done | failed | cancelled

A claim hands out a fence, one more than the last; renewing, committing and releasing require that the shard
is still leased under it. A worker that lost its lease therefore changes nothing, whatever it believes.
What happens when a lease runs out is in `gfi.store.ledger.reaper`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.records import LeaseAnswer, PartRecord, ResultRecord, ShardClaim
from gfi.domain.states import JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.store.database import Database, now
from gfi.store.ledger.control import shard_id
from gfi.store.ledger.guards import has_shard, lock_job, shard_moves
from gfi.store.tables import attempts, in_state, incidents, jobs, parts, results, shards

# Failures of what the images do not own. A transient one (bucket, database, memory of the card) is worth
# waiting for, with a back-off up to five minutes: some two hours in all. Anything else shows itself quickly.
TRANSIENT_RELEASES = 30
OTHER_RELEASES = 3
_LONGEST_DELAY_S = 300.0
_CANDIDATES = 8


def claim_shard(
    db: Database,
    worker: str,
    queue: str,
    lease_s: float,
    prefer: str | None = None,
    device_kind: str | None = None,
) -> ShardClaim | None:
    """pending → leased under a new fence, for `lease_s` seconds. Returns None when nothing is to be had.

    Which one: highest priority, then the job with the fewest shards in workers' hands, then the one served
    longest ago — so a small job behind one of ten million images starts as soon as any worker is free —, then
    the oldest job, then the first shard; `prefer` (the shard a message named) only breaks ties. Jobs whose
    profile is frozen to another kind of device than `device_kind` are passed over.
    """
    with db.begin() as connection:
        prefer_job = None
        if prefer is not None:
            named = sa.select(shards.c.job_id).where(shards.c.id == prefer)
            prefer_job = connection.execute(named).scalar()
        for job_id in _candidate_jobs(connection, queue, prefer_job, device_kind):
            mine = prefer if job_id == prefer_job else None
            row = _take(connection, job_id, mine, worker, lease_s)
            if row is None:
                continue  # others hold locks on all that was left of this job
            if prefer is not None and row.id != prefer and row.published_at is None:
                # Had the claimed one a message of its own, that would now stand for the preferred one.
                _unpublish(connection, prefer)
            frozen = (
                jobs.c.config,
                jobs.c.model,
                jobs.c.profile,
                jobs.c.manifest_key,
                jobs.c.manifest_digest,
            )
            job = connection.execute(sa.select(*frozen).where(jobs.c.id == job_id)).one()
            return ShardClaim(
                job_id=job_id,
                shard_id=row.id,
                start=row.start,
                stop=row.stop,
                manifest_key=row.manifest_key,
                fence=row.fence,
                worker=worker,
                isolated=row.alone,
                quarantined=row.convicted,
                generation=row.generation,
                stored_config=job.config,
                model=job.model,
                profile=job.profile,
                manifest_digest=job.manifest_digest if row.manifest_key == job.manifest_key else None,
            )
        if prefer is not None:
            _unpublish(connection, prefer)  # not for this worker, perhaps for one with another kind of device
    return None


def _unpublish(connection: sa.Connection, shard_id: str) -> None:
    """A waiting shard's message was spent on nothing, or on another: it has none in Redis any more."""
    connection.execute(
        sa.update(shards)
        .where(shards.c.id == shard_id, in_state(shards, ShardState.PENDING))
        .values(published_at=None)
    )


def _candidate_jobs(
    connection: sa.Connection, queue: str, prefer_job: str | None, device_kind: str | None
) -> Sequence[str]:
    """The first few jobs with something to claim, in the order in which they deserve a worker."""
    held = (
        sa.select(sa.func.count())
        .where(shards.c.job_id == jobs.c.id, in_state(shards, ShardState.LEASED))
        .scalar_subquery()
    )
    # Of several that hold as many, the one whose last commit is longest ago, none yet being longest: a single
    # worker holds nothing when it claims, and would else stay with the big job whose messages fill the queue.
    # (A claim leaves no trace on the job's row, which commits of all workers share a lock on.)
    served = sa.select(sa.func.max(shards.c.done_at)).where(shards.c.job_id == jobs.c.id).scalar_subquery()
    claimable = has_shard(ShardState.PENDING, shards.c.not_before <= now())
    query = (
        sa.select(jobs.c.id)
        .where(in_state(jobs, JobState.RUNNING), ~jobs.c.paused, jobs.c.queue == queue, claimable)
        .order_by(
            jobs.c.priority.desc(),
            held,
            served.nulls_first(),
            (jobs.c.id == (prefer_job or "")).desc(),
            jobs.c.created_at,
        )
        .limit(_CANDIDATES)
    )
    if device_kind is not None:
        query = query.where(sa.or_(jobs.c.device_kind.is_(None), jobs.c.device_kind == device_kind))
    return connection.execute(query).scalars().all()


def _take(
    connection: sa.Connection, job_id: str, prefer: str | None, worker: str, lease_s: float
) -> sa.Row[Any] | None:
    waiting = sa.and_(
        shards.c.job_id == job_id,
        shard_moves(shards, ShardState.PENDING, ShardState.LEASED),
        shards.c.not_before <= now(),
    )
    first = sa.select(shards.c.id).where(waiting).order_by(shards.c.start).limit(1)
    choices = (
        [first] if prefer is None else [sa.select(shards.c.id).where(waiting, shards.c.id == prefer), first]
    )
    for choice in choices:
        row = connection.execute(
            sa.update(shards)
            .where(shards.c.id == choice.with_for_update(skip_locked=True).scalar_subquery())
            .values(
                state=ShardState.LEASED.value,
                fence=shards.c.fence + 1,
                worker=worker,
                leased_at=now(),
                renewed_at=now(),
                lease_until=now() + lease_s,
                step=None,
                finished=0,
                in_flight=None,
            )
            .returning(shards)
        ).one_or_none()
        if row is not None:
            return row
    return None


def _held(claim: ShardClaim) -> sa.ColumnElement[bool]:
    return sa.and_(
        shards.c.id == claim.shard_id,
        shards.c.fence == claim.fence,
        in_state(shards, ShardState.LEASED),
    )


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
            .where(_held(claim))
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
        held = connection.execute(sa.select(shards.c.id).where(_held(claim))).scalar() is not None
        return _answer(connection, claim, held=held)


def _answer(connection: sa.Connection, claim: ShardClaim, *, held: bool) -> LeaseAnswer:
    job = connection.execute(
        sa.select(jobs.c.state, jobs.c.paused).where(jobs.c.id == claim.job_id)
    ).one_or_none()
    if job is None or job.state != JobState.RUNNING:
        return LeaseAnswer(held and job is not None, "cancel")
    return LeaseAnswer(held, "pause" if job.paused else "continue")


def commit_shard(
    db: Database, claim: ShardClaim, upto: int, part: PartRecord | None, rows: Sequence[ResultRecord]
) -> bool:
    """leased → done for [start, upto); what is left, [upto, stop), is a pending shard again.

    One transaction: result rows (a row they replace moves to `attempts`), the part, the shard and its
    counters. `rows` has one primary record (method `gfi`, target rank 0) for each image of [start, upto),
    and any number of others for the same images. Returns False when the lease is lost: nothing was written.
    Repeating a commit that was applied though its answer got lost returns True and writes nothing.

    When the job was cancelled meanwhile the images that are finished are recorded all the same: they were
    paid for, and partial results stay readable. What is left is cancelled.
    """
    _check_rows(claim, upto, rows)
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id, shared=True)
        held = sa.select(shards.c.id).where(_held(claim)).with_for_update()
        if connection.execute(held).scalar() is None:
            return _was_committed(connection, claim, upto)
        counts = count_statuses(rows)
        if job.generation:
            counts = replace_current(connection, claim.job_id, rows, counts)
        connection.execute(
            sa.update(shards)
            .where(shards.c.id == claim.shard_id, shard_moves(shards, ShardState.LEASED, ShardState.DONE))
            .values(
                state=ShardState.DONE.value,
                stop=upto,
                done_at=now(),
                part_id=part.id if part else None,
                finished=0,
                in_flight=None,
                releases=0,
                reason=None,
                failure_class=None,
                **{f"n_{status}": number for status, number in counts.items()},
            )
        )
        if part is not None:
            connection.execute(
                sa.insert(parts).values(
                    **part.__dict__,
                    job_id=claim.job_id,
                    shard_id=claim.shard_id,
                    fence=claim.fence,
                    manifest_key=claim.manifest_key,
                    start=claim.start,
                    stop=upto,
                    created_at=now(),
                )
            )
        common = {
            "job_id": claim.job_id,
            "part_id": part.id if part else None,
            "shard_id": claim.shard_id,
            "fence": claim.fence,
            "created_at": connection.execute(sa.select(now())).scalar_one(),
        }
        # A plain insert: should a row be there already, the ledger would be wrong, and loudly so.
        connection.execute(sa.insert(results), [record.columns() | common for record in rows])
        if upto < claim.stop:
            goes_on = job.state == JobState.RUNNING
            connection.execute(
                sa.insert(shards).values(
                    id=shard_id(claim.job_id, claim.generation, upto),
                    job_id=claim.job_id,
                    manifest_key=claim.manifest_key,
                    generation=claim.generation,
                    start=upto,
                    stop=claim.stop,
                    state=(ShardState.PENDING if goes_on else ShardState.CANCELLED).value,
                )
            )
        return True


def _check_rows(claim: ShardClaim, upto: int, rows: Sequence[ResultRecord]) -> None:
    if not claim.start < upto <= claim.stop:
        raise ValueError(f"cannot commit up to {upto} of [{claim.start}, {claim.stop}); release it instead")
    primary = {record.row for record in rows if _is_primary(record)}
    if len(primary) != upto - claim.start:
        raise ValueError(f"{upto - claim.start} images, but primary results for {len(primary)}")
    if not claim.generation and primary != set(range(claim.start, upto)):
        raise ValueError(f"results are not those of rows [{claim.start}, {upto})")
    if strangers := {record.row for record in rows} - primary:
        raise ValueError(f"row {min(strangers)} has no primary result")


def _is_primary(record: ResultRecord) -> bool:
    return record.method == PRIMARY_METHOD and record.target_rank == 0


def count_statuses(rows: Sequence[ResultRecord]) -> dict[ImageStatus, int]:
    """Images by status, of the primary records; zeros included."""
    counts = dict.fromkeys(ImageStatus, 0)
    for record in rows:
        counts[record.status] += _is_primary(record)
    return counts


def replace_current(
    connection: sa.Connection, job_id: str, rows: Sequence[ResultRecord], counts: dict[ImageStatus, int]
) -> dict[ImageStatus, int]:
    """Move the current rows that `rows` replace to `attempts`; returns `counts` less theirs.

    A retry's shard may so count an error as −1: the sum over a job's shards stays what is current.
    """
    numbers = sorted({record.row for record in rows})
    current = sa.and_(results.c.job_id == job_id, results.c.row.in_(numbers))
    replaced = sa.select(results.c.status, sa.func.count()).where(
        current, results.c.method == PRIMARY_METHOD, results.c.target_rank == 0
    )
    for status, number in connection.execute(replaced.group_by(results.c.status)):
        counts[ImageStatus(status)] -= number
    key = ("job_id", "row", "method", "target_rank")
    previous = (
        sa.select(sa.func.coalesce(sa.func.max(attempts.c.attempt), 0))
        .where(*(attempts.c[name] == results.c[name] for name in key))
        .scalar_subquery()
    )
    names = [column.name for column in results.columns]
    history = sa.select(*results.columns, previous + 1).where(current)
    connection.execute(sa.insert(attempts).from_select([*names, "attempt"], history))
    connection.execute(sa.delete(results).where(current))
    return counts


def _was_committed(connection: sa.Connection, claim: ShardClaim, upto: int) -> bool:
    """Whether this very claim committed this very stretch before: its answer was lost on the way."""
    done = sa.select(shards.c.id).where(
        shards.c.id == claim.shard_id,
        shards.c.fence == claim.fence,
        in_state(shards, ShardState.DONE),
        shards.c.stop == upto,
    )
    return connection.execute(done).scalar() is not None


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
        query = sa.select(shards).where(_held(claim)).with_for_update()
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
            .where(shards.c.id == shard.id, shard_moves(shards, ShardState.LEASED, after))
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


def add_incident(
    connection: sa.Connection,
    shard: sa.Row[Any],
    kind: str,
    *,
    suspects: Sequence[int] = (),
    reason: str | None = None,
    failure_class: str | None = None,
) -> None:
    """Note what went wrong with a leased shard, as it stood."""
    connection.execute(
        sa.insert(incidents).values(
            id=new_id(),
            job_id=shard.job_id,
            shard_id=shard.id,
            fence=shard.fence,
            kind=kind,
            worker=shard.worker,
            start=shard.start,
            stop=shard.stop,
            suspects=list(suspects),
            alone=shard.alone,
            reason=reason,
            failure_class=failure_class,
            at=now(),
        )
    )

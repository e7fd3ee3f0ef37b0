"""What happens when a lease runs out: the shard is returned, and its images may be suspected.

A worker that dies leaves an overdue lease. Its shard is returned, and the reaper decides whether one of its images may
have killed the worker.

- Rows in flight at the last renewal are suspects. A suspect is isolated: tried singly, as a one-row shard (column
  `alone`). An image is quarantined (column `convicted`) only if more workers in a row died while it was isolated than
  the present death rate of all other work explains (`gfi.store.ledger.death_rate`). The next worker records it as an
  error without opening it.
- Where nothing was in flight, the worker had not begun, or it was packing and uploading finished images. No image is
  blamed then. A shard whose workers died while they packed it is halved, since it may be too large.
- A shard whose workers continue to die waits longer before each attempt, and its `reason` says so.

Not every overdue lease is a death.

- A worker that stops in order (SIGTERM, pause, a bucket that is away) releases its lease, which never becomes overdue.
- An outage of the database, of every scheduler or of the whole machine is not counted: see `observe_time`.
- A worker that was cut off and is alive finds its lease lost and calls `retract_death`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import sqlalchemy as sa

from gfi.domain.records import Expired, ShardClaim
from gfi.domain.states import JobState, ShardState
from gfi.store.database import Database, insert, now
from gfi.store.ledger import death_rate
from gfi.store.ledger.guards import lock_job, shard_transition
from gfi.store.ledger.incidents import add_incident
from gfi.store.ledger.shards import insert_shard
from gfi.store.others_go_on import others_go_on
from gfi.store.tables import control_tasks, in_state, incidents, jobs, scheduler_heartbeat, shards

RECENT_S = 900.0
"""Deaths and successes of all workers are counted from this many seconds before the first death on the isolated
image."""
DEATHS_PACKING = 3
"""A shard is halved after this many deaths, and each half after one more."""
KILLER = "killed its worker {} times"
WORKER_DIED = "worker died"

_AT_ONCE = {"reason": None, "failure_class": None, "not_before": 0.0}
_BATCH = 200
COUNTED_S = (2.0, 5.0)
"""Of the time between two observations at most a sixth of a lease is counted, but within these limits (seconds)."""


def observe_time(db: Database) -> None:
    """Record that the database answers now, and extend every lease by the time in which the database may not have
    answered.

    A lease runs only while workers can renew it. Of the time since the last observation, only a few seconds are known
    to be such time, and only those are counted. So no worker is taken for dead because of an outage of the database, of
    every scheduler or of the whole machine. If observations are rare because everything is slow, leases run slower and
    still end. To be called every second by every scheduler.
    """
    with db.begin() as connection:
        last = connection.execute(
            sa.select(scheduler_heartbeat.c.at, now().label("now"))
            .where(scheduler_heartbeat.c.id == 1)
            .with_for_update()
        ).one_or_none()
        beat = insert(connection, scheduler_heartbeat).values(id=1, at=now())
        connection.execute(beat.on_conflict_do_update(index_elements=["id"], set_={"at": beat.excluded.at}))
        if last is None or last.now - last.at <= min(COUNTED_S):
            return
        for leased in (shards, control_tasks):
            sixth = (leased.c.lease_until - leased.c.renewed_at) / 6.0
            counted = sa.case(
                (sixth < min(COUNTED_S), min(COUNTED_S)),
                (sixth > max(COUNTED_S), max(COUNTED_S)),
                else_=sixth,
            )
            seen = sa.case((leased.c.renewed_at > last.at, leased.c.renewed_at), else_=last.at)
            unknown = last.now - seen - counted
            connection.execute(
                sa.update(leased)
                .where(
                    in_state(leased, ShardState.LEASED),
                    leased.c.lease_until
                    >= last.at,  # a lease that ended before belongs to a worker that is dead
                    unknown > 0.0,
                )
                .values(lease_until=leased.c.lease_until + unknown, renewed_at=leased.c.renewed_at + unknown)
            )


def expire_leases(db: Database) -> list[Expired]:
    """leased → pending (split, cancelled), every shard whose lease ran out by the database's clock.

    To be called every second or two, by any number of schedulers.
    """
    observe_time(db)
    overdue = sa.and_(in_state(shards, ShardState.LEASED), shards.c.lease_until < now())
    with db.read() as connection:
        query = sa.select(shards.c.id, shards.c.job_id, shards.c.fence).where(overdue).limit(_BATCH)
        rows = connection.execute(query).all()
    expired = []
    for row in rows:
        with others_go_on("lease not expired", shard=row.id):
            outcome = _expire(db, row.job_id, row.id, row.fence, overdue)
            if outcome is not None:
                expired.append(outcome)
    return expired


@dataclass(frozen=True)
class _Verdict:
    """The consequences for a shard whose worker died."""

    outcome: Literal["returned", "split", "quarantined", "cancelled"]
    stretches: Sequence[tuple[int, int, bool]]
    """[start, stop), and whether it is one isolated image."""
    deaths: int
    unexplained: int
    quarantined: str | None = None
    pause_s: float = 0.0
    reason: str | None = None


def _expire(
    db: Database, job_id: str, id_: str, fence: int, overdue: sa.ColumnElement[bool]
) -> Expired | None:
    with db.begin() as connection:
        job = lock_job(connection, job_id, shared=True)
        still = sa.select(shards).where(shards.c.id == id_, shards.c.fence == fence, overdue)
        shard = connection.execute(still.with_for_update()).one_or_none()
        if shard is None:
            return None  # renewed or committed since, or returned by another scheduler
        suspects = [p for p in shard.in_flight or [] if shard.start <= p < shard.stop]
        after = ShardState.PENDING if job.state == JobState.RUNNING else ShardState.CANCELLED
        verdict = _judge(connection, shard, suspects, after)
        _return_shard(connection, shard, after, verdict)
        reason = f"worker {shard.worker} stopped renewing its lease"
        add_incident(connection, shard, "death", suspects=suspects, reason=reason, failure_class="worker")
        if verdict.outcome == "quarantined":
            add_incident(connection, shard, "convicted", suspects=suspects, reason=verdict.quarantined)
        return Expired(job_id, id_, fence, shard.worker, verdict.outcome, tuple(suspects))


def _judge(
    connection: sa.Connection, shard: sa.Row[Any], suspects: Sequence[int], after: ShardState
) -> _Verdict:
    whole = [(shard.start, shard.stop, shard.alone)]
    same = _Verdict("returned", whole, shard.deaths, shard.unexplained, shard.convicted)
    if after is ShardState.CANCELLED:
        return replace(same, outcome="cancelled")
    if shard.convicted is not None:
        return same  # its image is only recorded and never opened: this death has another cause
    if suspects and shard.alone:
        deaths = shard.deaths + 1
        if death_rate.stand_out(deaths, *_other_attempts(connection, shard)):
            return replace(same, outcome="quarantined", deaths=deaths, quarantined=KILLER.format(deaths))
        what = f"{deaths} workers died while they worked on this image alone; workers on other images die as often now"
        return _waiting(replace(same, deaths=deaths), deaths, what)
    if suspects:
        stretches = _single_out(shard.start, shard.stop, suspects)
        singled = replace(same, stretches=stretches, unexplained=0)
        return replace(singled, outcome="split") if len(stretches) > 1 else singled
    unexplained = shard.unexplained + 1
    if shard.finished and unexplained >= DEATHS_PACKING and shard.stop - shard.start > 1:
        middle = (shard.start + shard.stop) // 2
        halves = [(shard.start, middle, False), (middle, shard.stop, False)]
        return replace(same, outcome="split", stretches=halves, unexplained=DEATHS_PACKING - 1)
    what = f"{unexplained} workers died with this shard while they worked on none of its images"
    return _waiting(replace(same, unexplained=unexplained), unexplained, what)


def _waiting(verdict: _Verdict, deaths: int, what: str) -> _Verdict:
    pause_s = death_rate.pause_s(deaths)
    if not pause_s:
        return verdict
    return replace(verdict, pause_s=pause_s, reason=f"{what}; the next attempt comes after {pause_s:.0f} s")


def _return_shard(
    connection: sa.Connection, shard: sa.Row[Any], after: ShardState, verdict: _Verdict
) -> None:
    """leased → `after`: the shard keeps the first stretch, the others become new shards."""
    first, *others = verdict.stretches
    connection.execute(
        sa.update(shards)
        .where(shards.c.id == shard.id, shard_transition(shards, ShardState.LEASED, after))
        .values(
            state=after.value,
            stop=first[1],
            alone=first[2],
            deaths=verdict.deaths,
            unexplained=verdict.unexplained,
            convicted=verdict.quarantined,
            reason=verdict.reason,
            failure_class=WORKER_DIED if verdict.reason else None,
            not_before=now() + verdict.pause_s,
            published_at=None,
            finished=0,
            in_flight=None,
        )
    )
    for start, stop, isolated in others:
        insert_shard(
            connection,
            shard.job_id,
            shard.generation,
            shard.manifest_key,
            start,
            stop,
            after,
            alone=isolated,
            unexplained=verdict.unexplained,
        )


def _other_attempts(connection: sa.Connection, shard: sa.Row[Any]) -> tuple[int, int]:
    """(deaths, successes) of all workers on other work, since shortly before the first death on this image.

    Another isolated image may have killed its workers: until that is decided, its deaths count as one.
    """
    deaths = sa.and_(incidents.c.kind == "death", ~incidents.c.absolved)
    isolated = sa.select(sa.func.min(incidents.c.at)).where(
        deaths, incidents.c.alone, incidents.c.shard_id == shard.id
    )
    first = connection.execute(isolated).scalar()
    since = (sa.literal(first) if first is not None else now()) - RECENT_S
    undecided = sa.and_(
        incidents.c.alone,
        shards.c.id.is_not(None),
        sa.or_(~in_state(shards, ShardState.DONE), shards.c.convicted.is_not(None)),
    )
    query = (
        sa.select(
            incidents.c.job_id, incidents.c.shard_id, incidents.c.suspects, undecided.label("undecided")
        )
        .outerjoin(shards, shards.c.id == incidents.c.shard_id)
        .where(deaths, incidents.c.at > since, incidents.c.shard_id != shard.id)
    )
    other_deaths, also_suspected = 0, set()
    for row in connection.execute(query):
        if row.suspects and row.undecided:
            also_suspected.add(row.shard_id)
        elif not (row.suspects and row.job_id == shard.job_id and shard.start in row.suspects):
            other_deaths += 1
    other_deaths += len(also_suspected)
    lately = sa.select(jobs.c.id).where(sa.or_(jobs.c.finished_at.is_(None), jobs.c.finished_at > since))
    successes = connection.execute(
        sa.select(sa.func.count()).where(
            shards.c.job_id.in_(lately),
            in_state(shards, ShardState.DONE),
            shards.c.done_at > since,
            shards.c.convicted.is_(None),
        )
    ).scalar_one()
    return other_deaths, successes


def _single_out(start: int, stop: int, suspects: Iterable[int]) -> list[tuple[int, int, bool]]:
    """[start, stop) split so that each suspect is a separate stretch, marked as isolated."""
    stretches: list[tuple[int, int, bool]] = []
    begin = start
    for position in sorted(set(suspects)):
        if begin < position:
            stretches.append((begin, position, False))
        stretches.append((position, position + 1, True))
        begin = position + 1
    if begin < stop:
        stretches.append((begin, stop, False))
    return stretches


def retract_death(db: Database, claim: ShardClaim) -> bool:
    """Retract the death that was concluded from an overdue lease, since its worker is alive.

    To be called by a worker that finds its lease lost. A quarantine that followed from this death is undone unless it
    has been recorded already. Returns False when no death was recorded for this claim.
    """
    with db.begin() as connection:
        lock_job(connection, claim.job_id, shared=True)
        mine = sa.and_(
            incidents.c.shard_id == claim.shard_id,
            incidents.c.fence == claim.fence,
            incidents.c.kind == "death",
            ~incidents.c.absolved,
        )
        changed = connection.execute(
            sa.update(incidents).where(mine).values(absolved=True).returning(incidents.c.suspects)
        )
        suspects: Sequence[int] | None = changed.scalar()
        if suspects is None:
            return False
        if claim.isolated and suspects:
            connection.execute(
                sa.update(shards)
                .where(
                    shards.c.id == claim.shard_id,
                    shards.c.deaths > 0,
                    in_state(shards, ShardState.PENDING),
                )
                .values(deaths=shards.c.deaths - 1, convicted=None, **_AT_ONCE)
            )
        elif not suspects:
            connection.execute(
                sa.update(shards)
                .where(
                    shards.c.id == claim.shard_id,
                    shards.c.unexplained > 0,
                    in_state(shards, ShardState.PENDING),
                )
                .values(unexplained=shards.c.unexplained - 1, **_AT_ONCE)
            )
        return True

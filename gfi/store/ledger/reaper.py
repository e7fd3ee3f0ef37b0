"""What happens when a lease runs out: whose fault it may be, and what becomes of the shard.

A worker that dies leaves an overdue lease. Its shard goes back; the question is whether one of its images
killed it. Only rows in flight at the last renewal are suspects, and being a suspect is no more than being
tried singly, as a one-row shard (`alone`). A death alone counts; after `DEATHS_ALONE` of them the image is
convicted: the next worker records it as an error without opening it. Where workers are dying all the time
anyway, three in a row may be an accident (100 kills at random over 400 images convicted two innocents), and
as many more are asked for as make it one in a thousand. When nothing was known to be in flight
the shard returns whole, and after `UNEXPLAINED` such deaths in two halves, each of which is halved again
by one more: innocents clear themselves by finishing.

Not every overdue lease is a death.

- Released in order (SIGTERM, pause, a bucket that is away): never comes here.
- The database was away, or every scheduler, or the whole machine slept: `expire_leases` notices by its own
  `pulse` that nobody looked for a while, and gives every lease another full term instead of reaping.
- The worker was cut off and lives: it returns, finds its lease gone and says so with `absolve`, which
  takes the death back.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from gfi.domain.records import Expired, ShardClaim
from gfi.domain.states import JobState, ShardState
from gfi.store.database import Database, insert, now
from gfi.store.ledger.control import shard_id
from gfi.store.ledger.guards import lock_job, shard_moves
from gfi.store.ledger.shards import add_incident
from gfi.store.tables import control_tasks, in_state, incidents, pulse, shards

DEATHS_ALONE = 3
MOST_DEATHS_ALONE = 9
"""Enough, however often workers die: nothing is tried for ever."""
ACCIDENT = 1e-3
RECENT_S = 900.0
_BENEFIT_OF_DOUBT = 10  # shards taken to have gone well, so that a handful of deaths proves nothing
UNEXPLAINED = 3
# A single image, and never a sign of what was being done: not its fault, but not for ever either.
UNEXPLAINED_ALONE = 10
CONVICTION = "killed its worker {} times"

_BATCH = 200
# Never below what a slow tick of a busy machine may take.
SHORTEST_GAP_S = 5.0


def expire_leases(db: Database) -> list[Expired]:
    """leased → pending (split, failed, cancelled), every shard whose lease ran out by the database's clock.

    To be called every second or two, by any number of schedulers. When nobody called for a while (more than
    five seconds), leases that were not renewed for want of a database get their term anew, and this call
    reaps none.
    """
    if _after_a_gap(db):
        return []
    overdue = sa.and_(in_state(shards, ShardState.LEASED), shards.c.lease_until < now())
    with db.read() as connection:
        query = sa.select(shards.c.id, shards.c.job_id, shards.c.fence).where(overdue).limit(_BATCH)
        found = connection.execute(query).all()
    expired = [_expire(db, row.job_id, row.id, row.fence, overdue) for row in found]
    return [outcome for outcome in expired if outcome is not None]


def _after_a_gap(db: Database) -> bool:
    with db.begin() as connection:
        last = connection.execute(
            sa.select(pulse.c.at, now().label("now")).where(pulse.c.id == 1).with_for_update()
        ).one_or_none()
        beat = insert(connection, pulse).values(id=1, at=now())
        connection.execute(beat.on_conflict_do_update(index_elements=["id"], set_={"at": beat.excluded.at}))
        if last is None or last.now - last.at <= SHORTEST_GAP_S:
            return False
        for leased in (shards, control_tasks):
            term = leased.c.lease_until - leased.c.renewed_at
            connection.execute(
                sa.update(leased)
                .where(
                    in_state(leased, ShardState.LEASED),
                    # Workers renew every third of a term: two thirds were left when the gap began, so a gap of
                    # less than half lets nobody's lease run out.
                    term < 2 * (last.now - last.at),
                    leased.c.renewed_at >= last.at - term,  # in force then: later ones were the dead's
                )
                .values(lease_until=now() + term, renewed_at=now())
            )
        return True


def _expire(
    db: Database, job_id: str, id_: str, fence: int, overdue: sa.ColumnElement[bool]
) -> Expired | None:
    with db.begin() as connection:
        job = lock_job(connection, job_id, shared=True)
        still = sa.select(shards).where(shards.c.id == id_, shards.c.fence == fence, overdue)
        shard = connection.execute(still.with_for_update()).one_or_none()
        if shard is None:
            return None  # renewed, committed or reaped by another scheduler since
        suspects = [p for p in shard.in_flight or [] if shard.start <= p < shard.stop]
        deaths, unexplained = shard.deaths, shard.unexplained
        stretches = [(shard.start, shard.stop, shard.alone)]
        outcome: Literal["returned", "split", "convicted", "failed", "cancelled"] = "returned"
        convicted = shard.convicted
        failed = None
        if job.state != JobState.RUNNING:
            outcome = "cancelled"
        elif shard.convicted is not None:
            pass  # recording it needs no image: this death was something else
        elif suspects and shard.alone:
            deaths += 1
            if deaths >= DEATHS_ALONE and deaths >= _deaths_needed(connection, shard):
                outcome, convicted = "convicted", CONVICTION.format(deaths)
        elif suspects:
            stretches = _single_out(shard.start, shard.stop, suspects)
            unexplained = 0
            outcome = "split" if len(stretches) > 1 else "returned"
        else:
            unexplained += 1
            if shard.stop - shard.start > 1 and unexplained >= UNEXPLAINED:
                middle = (shard.start + shard.stop) // 2
                stretches = [(shard.start, middle, False), (middle, shard.stop, False)]
                unexplained = UNEXPLAINED - 1
                outcome = "split"
            elif shard.stop - shard.start == 1 and unexplained >= UNEXPLAINED_ALONE:
                outcome, failed = "failed", f"{unexplained} workers died before they could say at what"
        after = {"cancelled": ShardState.CANCELLED, "failed": ShardState.FAILED}.get(
            outcome, ShardState.PENDING
        )
        first, *others = stretches
        connection.execute(
            sa.update(shards)
            .where(shards.c.id == id_, shard_moves(shards, ShardState.LEASED, after))
            .values(
                state=after.value,
                stop=first[1],
                alone=first[2],
                deaths=deaths,
                unexplained=unexplained,
                convicted=convicted,
                reason=failed,
                failure_class="worker died" if failed else None,
                not_before=0.0,
                published_at=None,
                finished=0,
                in_flight=None,
            )
        )
        for start, stop, alone in others:
            connection.execute(
                sa.insert(shards).values(
                    id=shard_id(job_id, shard.generation, start),
                    job_id=job_id,
                    manifest_key=shard.manifest_key,
                    generation=shard.generation,
                    start=start,
                    stop=stop,
                    state=after.value,
                    alone=alone,
                    unexplained=unexplained,
                )
            )
        reason = f"worker {shard.worker} stopped renewing its lease"
        add_incident(connection, shard, "death", suspects=suspects, reason=reason, failure_class="worker")
        if outcome == "convicted":
            add_incident(connection, shard, "convicted", suspects=suspects, reason=convicted)
        return Expired(job_id, id_, fence, shard.worker, outcome, tuple(suspects))


def _deaths_needed(connection: sa.Connection, shard: sa.Row[Any]) -> int:
    """How many deaths in a row alone with its image stand out from those that had nothing to do with it."""
    recent = now() - RECENT_S
    deaths = connection.execute(
        sa.select(incidents.c.suspects).where(
            incidents.c.job_id == shard.job_id,
            incidents.c.kind == "death",
            incidents.c.shard_id != shard.id,
            ~incidents.c.absolved,
            incidents.c.at > recent,
        )
    ).scalars()
    others = sum(shard.start not in (suspects or ()) for suspects in deaths)
    done = connection.execute(
        sa.select(sa.func.count()).where(
            shards.c.job_id == shard.job_id, in_state(shards, ShardState.DONE), shards.c.done_at > recent
        )
    ).scalar_one()
    share = others / (others + done + _BENEFIT_OF_DOUBT)
    needed = math.ceil(math.log(ACCIDENT) / math.log(share)) if share else DEATHS_ALONE
    return min(max(needed, DEATHS_ALONE), MOST_DEATHS_ALONE)


def _single_out(start: int, stop: int, suspects: Iterable[int]) -> list[tuple[int, int, bool]]:
    """[start, stop) cut so that each suspect is a stretch of its own, marked alone."""
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


def absolve(db: Database, claim: ShardClaim) -> bool:
    """Take back the death that was concluded from an overdue lease: its worker lives and says so.

    To be called by a worker that finds its lease lost. A conviction that rested on it is undone as long as
    it has not been recorded. Returns False when no death was noted for this claim.
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
        if claim.alone and suspects:
            connection.execute(
                sa.update(shards)
                .where(
                    shards.c.id == claim.shard_id,
                    shards.c.deaths > 0,
                    in_state(shards, ShardState.PENDING),
                )
                .values(deaths=shards.c.deaths - 1, convicted=None)
            )
        elif not suspects:
            connection.execute(
                sa.update(shards)
                .where(shards.c.id == claim.shard_id, shards.c.unexplained > 0)
                .values(unexplained=shards.c.unexplained - 1)
            )
        return True

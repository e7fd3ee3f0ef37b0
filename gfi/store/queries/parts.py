"""Parts that commits recorded, and which other objects the sweep may delete."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Literal

import sqlalchemy as sa

from gfi.domain.records import CommittedPart
from gfi.domain.states import OPEN, ShardState
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.queries.fetching import BULK, fetch
from gfi.store.tables import audit, jobs, part_references, parts, shards

_COLUMNS = [parts.c[field.name] for field in fields(CommittedPart)]


def iterate_parts(db: Database, job_id: str) -> Iterator[CommittedPart]:
    """Every part of a job in the order of commits, as `committed.json` lists them."""
    after = ""
    while True:
        page = sa.select(*_COLUMNS).where(parts.c.job_id == job_id, parts.c.id > after)
        with db.read() as connection:
            rows = connection.execute(page.order_by(parts.c.id).limit(BULK)).all()
        if not rows:
            return
        yield from (CommittedPart(**row._mapping) for row in rows)
        after = rows[-1].id


def parts_of_results(db: Database, job_id: str) -> list[CommittedPart]:
    """The parts that hold results of a job, its own and those of other jobs to which carried results refer."""
    referred = sa.select(part_references.c.part_id).where(part_references.c.job_id == job_id)
    query = sa.select(*_COLUMNS).where(sa.or_(parts.c.job_id == job_id, parts.c.id.in_(referred)))
    return [CommittedPart(**row) for row in fetch(db, query.order_by(parts.c.id))]


def part_of(db: Database, part_id: str) -> CommittedPart:
    """A part by id; NotFound when there is none."""
    rows = fetch(db, sa.select(*_COLUMNS).where(parts.c.id == part_id))
    if not rows:
        raise NotFound(f"no part {part_id}")
    return CommittedPart(**rows[0])


def known_parts(db: Database, keys: Sequence[str]) -> set[str]:
    """Those of these objects that are parts of the ledger: some result may refer to them."""
    with db.read() as connection:
        return set(connection.execute(sa.select(parts.c.key).where(parts.c.key.in_(keys))).scalars())


def deleted_jobs(db: Database, job_ids: Sequence[str]) -> set[str]:
    """Those of these jobs that were deleted, by the audit log. A job that was rebuilt since is not among them."""
    gone = ~sa.exists().where(jobs.c.id == audit.c.job_id).correlate(audit)
    query = sa.select(audit.c.job_id).where(
        audit.c.action == "job.deleted", audit.c.job_id.in_(job_ids), gone
    )
    with db.read() as connection:
        return set(connection.execute(query).scalars())


def other_jobs(connection: sa.Connection, job_id: str, part_ids: Sequence[str]) -> dict[str, str]:
    """The jobs that wrote these parts, by part; without those of `job_id`."""
    query = sa.select(parts.c.id, parts.c.job_id).where(parts.c.id.in_(part_ids), parts.c.job_id != job_id)
    return {row.id: row.job_id for row in connection.execute(query)} if part_ids else {}


Verdict = Literal["kept", "orphan", "held", "unknown"]


def judge_parts(db: Database, keys: Iterable[str]) -> dict[str, Verdict]:
    """Which objects below `parts/` the sweep may delete, decided by the ledger and not by their age.

    - `kept`: the ledger refers to it.
    - `orphan`: no worker can commit it any more, because its shard has ended or has been claimed again, or because its
      job was deleted.
    - `held`: its worker may still commit it.
    - `unknown`: the ledger knows nothing of it; to be reported and never deleted.
    """
    verdicts: dict[str, Verdict] = {}
    wanted = list(keys)
    for begin in range(0, len(wanted), BULK):
        verdicts |= _judge(db, wanted[begin : begin + BULK])
    return verdicts


def _judge(db: Database, keys: Sequence[str]) -> dict[str, Verdict]:
    from gfi.store.parts import parse_part_key  # loads Arrow, which `gfi jobs` does without

    parsed = {key: parse_part_key(key) for key in keys}
    shard_ids = sorted({p[1] for p in parsed.values() if p})
    job_ids = sorted({p[0] for p in parsed.values() if p})
    deleted = sa.select(audit.c.job_id).where(audit.c.action == "job.deleted", audit.c.job_id.in_(job_ids))
    with db.read() as connection:
        # Shards are read before parts, since on PostgreSQL each statement sees what is committed by then. A commit
        # between the two queries then adds a part that is known. In the other order its shard would have ended and its
        # part would not be known: an orphan.
        known = {
            row.id: row
            for row in connection.execute(
                sa.select(shards.c.id, shards.c.job_id, shards.c.state, shards.c.fence).where(
                    shards.c.id.in_(shard_ids)
                )
            )
        }
        kept = set(connection.execute(sa.select(parts.c.key).where(parts.c.key.in_(keys))).scalars())
        gone = set(connection.execute(deleted).scalars())
    verdicts: dict[str, Verdict] = {}
    for key, part in parsed.items():
        shard = known.get(part[1]) if part else None
        if key in kept:
            verdicts[key] = "kept"
        elif part is None or (shard is None and part[0] not in gone):
            verdicts[key] = "unknown"
        elif shard is None or shard.state not in OPEN or part[2] < shard.fence:
            verdicts[key] = "orphan"
        else:
            # A pending shard with the same fence was released or has expired: this fence commits nothing any more.
            verdicts[key] = "held" if shard.state == ShardState.LEASED else "orphan"
    return verdicts

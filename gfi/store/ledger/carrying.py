"""Results carried over from an earlier job, by reference to the parts that hold them.

A carried result is a row of the new job with the part and the place in it of the earlier job's row. So it points to the
part that a worker wrote, never to another carried result. `part_references` names these parts for each job; the
transaction that writes the rows writes it. A part is deleted with its job unless another job refers to it, otherwise
with the last job that does.

Carrying is done in pieces, each a done shard of the new job: a piece whose shard exists is not carried again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from gfi.domain.manifest_columns import Value
from gfi.domain.metrics import NUMBERS, PRIMARY_METHOD
from gfi.domain.records import ControlClaim
from gfi.domain.states import ShardState
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.domain.sums import IDENTITY, Sums
from gfi.store.database import Database, insert, insert_many, now
from gfi.store.errors import NotFound
from gfi.store.ledger.commits import insert_columns
from gfi.store.ledger.guards import held, lock_job
from gfi.store.ledger.mean_masks import owe_carried
from gfi.store.ledger.shards import insert_shard, shard_id
from gfi.store.ledger.sums import each_label, insert_sums
from gfi.store.tables import control_tasks, jobs, part_references, parts, results, shards

PIECE = 5000
"""Images that one transaction carries."""


def carry(
    db: Database,
    claim: ControlClaim,
    manifest_key: str,
    earlier: str,
    start: int,
    rows: Sequence[int],
    columns: Sequence[Mapping[str, Value]],
) -> Literal["carried", "refused", "lost"]:
    """(nothing) → done, a shard of the results that the job of `claim`, which is being planned, takes from `earlier`.

    The image `start + i` of the new job is the image rows[i] of the earlier one; columns[i]: its further columns in the
    new manifest. At most PIECE images. `refused`: the earlier job is gone, or lacks one of these results by now; the
    images must be explained. `lost`: the claim is no longer held. A piece that was carried before is `carried`.
    """
    assert claim.job_id is not None
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id, shared=True)
        mine = sa.select(control_tasks.c.id).where(held(control_tasks, claim.task_id, claim.fence))
        if connection.execute(mine.with_for_update()).scalar() is None:
            return "lost"
        return _carry(connection, job, manifest_key, earlier, start, rows, columns)


def restore_carried(
    db: Database,
    job_id: str,
    manifest_key: str,
    earlier: str,
    start: int,
    rows: Sequence[int],
    columns: Sequence[Mapping[str, Value]],
) -> bool:
    """The same for a job that is rebuilt after the loss of the database. Returns whether the results were carried: not
    if a part of the job itself, which was restored before, has some of these images."""
    with db.begin() as connection:
        job = lock_job(connection, job_id)
        overlap = sa.select(shards.c.id).where(
            shards.c.job_id == job_id,
            shards.c.generation == 0,
            shards.c.start < start + len(rows),
            shards.c.stop > start,
        )
        if connection.execute(overlap.limit(1)).scalar() is not None:
            return False
        return _carry(connection, job, manifest_key, earlier, start, rows, columns) == "carried"


def _carry(
    connection: sa.Connection,
    job: sa.Row[Any],
    manifest_key: str,
    earlier: str,
    start: int,
    rows: Sequence[int],
    columns: Sequence[Mapping[str, Value]],
) -> Literal["carried", "refused"]:
    job_id, every_label = job.id, each_label(job.config)
    piece, stop = shard_id(job_id, 0, start), start + len(rows)
    if connection.execute(sa.select(shards.c.id).where(shards.c.id == piece)).scalar() is not None:
        return "carried"
    try:
        # The lock keeps the earlier job, and with it its parts and its references, until this transaction ends.
        lock_job(connection, earlier, shared=True)
    except NotFound:
        return "refused"
    found = sa.select(results).where(results.c.job_id == earlier, results.c.row.in_(list(rows)))
    taken = [dict(row) for row in connection.execute(found).mappings()]
    counts, sums = dict.fromkeys(ImageStatus, 0), Sums()
    new_row = {row: start + place for place, row in enumerate(rows)}
    moment = connection.execute(sa.select(now())).scalar_one()
    for values in taken:
        status = ImageStatus(values["status"])
        if status in UNUSABLE or values["part_id"] is None:
            return "refused"
        first = values["target_rank"] == 0
        counts[status] += first and values["method"] == PRIMARY_METHOD
        if first or every_label:
            sums.add(tuple(values[name] for name in IDENTITY), ((name, values[name]) for name in NUMBERS))
        values.update(job_id=job_id, row=new_row[values["row"]], shard_id=piece, fence=0, created_at=moment)
    if sum(counts.values()) != len(rows):
        return "refused"
    insert_shard(
        connection,
        job_id,
        0,
        manifest_key,
        start,
        stop,
        ShardState.DONE,
        done_at=moment,
        **{f"n_{status}": number for status, number in counts.items()},
    )
    insert_sums(connection, job_id, piece, sums)
    insert_many(connection, results, taken)
    owe_carried(connection, taken, every_label)
    insert_columns(connection, job_id, zip(range(start, stop), columns, strict=True))
    used = sorted({values["part_id"] for values in taken})
    references = [{"job_id": job_id, "part_id": part_id} for part_id in used]
    connection.execute(insert(connection, part_references).on_conflict_do_nothing(), references)
    return "carried"


def carried_images(connection: sa.Connection, job_id: str) -> int:
    """How many images of a job have carried results: those of its done shards without a part of their own."""
    own = sa.and_(shards.c.job_id == job_id, is_carried())
    return int(
        connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(shards.c.stop - shards.c.start), 0)).where(own)
        ).scalar_one()
    )


def is_carried() -> sa.ColumnElement[bool]:
    """The condition that a row of `shards` was carried: it is done and was never leased."""
    return sa.and_(shards.c.state == ShardState.DONE.value, shards.c.leased_at.is_(None))


def delete_parts(connection: sa.Connection, job_id: str) -> None:
    """Delete the rows of the parts of a job that is being deleted, its references, and what only it referred to.

    The caller holds the lock of the job. The objects of these parts are orphans from then on.
    """
    used = sa.select(part_references.c.part_id).where(part_references.c.job_id == job_id)
    once_used = list(connection.execute(used).scalars())
    connection.execute(sa.delete(part_references).where(part_references.c.job_id == job_id))
    connection.execute(sa.delete(parts).where(parts.c.job_id == job_id, ~_referred_to()))
    for begin in range(0, len(once_used), PIECE):
        those = parts.c.id.in_(once_used[begin : begin + PIECE])
        connection.execute(sa.delete(parts).where(those, _without_job(), ~_referred_to()))


def delete_unused_parts(db: Database) -> int:
    """Delete rows of parts whose job is gone and to which no job refers. Returns how many.

    Two jobs that shared a part and were deleted at the same moment each saw the other's reference.
    """
    with db.begin() as connection:
        return connection.execute(sa.delete(parts).where(_without_job(), ~_referred_to())).rowcount


def _referred_to() -> sa.ColumnElement[bool]:
    return sa.exists().where(part_references.c.part_id == parts.c.id)


def _without_job() -> sa.ColumnElement[bool]:
    return ~sa.exists().where(jobs.c.id == parts.c.job_id)

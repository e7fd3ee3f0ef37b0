"""The commit of a shard: its results, its part, its counters and its unfinished rest, in one transaction.

    leased → done

A commit requires that the shard is leased under the fence of the claim, so a worker that has lost its lease writes
nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.manifest_columns import Value
from gfi.domain.mean_masks import MeanMasks
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.records import PartRecord, ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import TERMINAL, JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.domain.sums import Sums
from gfi.store.database import Database, insert_many, now
from gfi.store.ledger.control_requests import report_again
from gfi.store.ledger.endings import judge_again, verdict
from gfi.store.ledger.guards import lock_job, shard_transition
from gfi.store.ledger.leases import is_held
from gfi.store.ledger.mean_masks import owe_replaced
from gfi.store.ledger.shards import insert_shard
from gfi.store.ledger.sums import each_label, insert_sums, sums_of, sums_of_stored
from gfi.store.tables import attempts, image_columns, in_state, parts, results, shards


def commit_shard(
    db: Database, claim: ShardClaim, upto: int, part: PartRecord | None, rows: Sequence[Result]
) -> bool:
    """leased → done for [start, upto); the rest, [upto, stop), becomes a pending shard again.

    One transaction writes the result rows (a row that they replace moves to `attempts`), their sums, the part, the
    shard and its counters. `rows`, in the order of the part, has one primary result (method `gfi`, target rank 0) for
    each image of [start, upto), and any number of others for the same images. Returns False when the lease is lost, and
    writes nothing then. A repeated commit, whose first answer did not arrive, returns True and writes nothing.

    If the job was cancelled meanwhile, the finished images are still recorded, so that partial results can be read; the
    rest is cancelled. If the job has ended by then, its summary and its list of parts are written again, and whether it
    succeeded is judged again.
    """
    _check_rows(claim, upto, rows)
    every_label = each_label(claim.stored_config)
    counts, sums = count_statuses(rows), sums_of(rows, every_label)
    masks = MeanMasks.of(rows, every_label)
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id, shared=True)
        if job.state not in TERMINAL:
            return _commit(connection, job, claim, upto, part, rows, counts, sums, masks)
    # This commit may change the state of the job, for which a shared lock is not enough.
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id)
        _, why = verdict(connection, job)
        committed = _commit(connection, job, claim, upto, part, rows, counts, sums, masks)
        if committed:
            judge_again(connection, job, why)
        return committed


def _commit(
    connection: sa.Connection,
    job: sa.Row[Any],
    claim: ShardClaim,
    upto: int,
    part: PartRecord | None,
    rows: Sequence[Result],
    counts: dict[ImageStatus, int],
    sums: Sums,
    masks: MeanMasks,
) -> bool:
    held = sa.select(shards.c.id).where(is_held(claim)).with_for_update()
    if connection.execute(held).scalar() is None:
        return _was_committed(connection, claim, upto)
    if job.generation:
        counts = replace_current(connection, job, rows, counts, sums)
    insert_sums(connection, claim.job_id, claim.shard_id, sums, masks)
    connection.execute(
        sa.update(shards)
        .where(shards.c.id == claim.shard_id, shard_transition(shards, ShardState.LEASED, ShardState.DONE))
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
        _insert_part(connection, claim, upto, part)
    insert_results(
        connection,
        rows,
        job_id=claim.job_id,
        part_id=part.id if part else None,
        shard_id=claim.shard_id,
        fence=claim.fence,
        created_at=connection.execute(sa.select(now())).scalar_one(),
    )
    if job.state in TERMINAL:
        report_again(connection, job)
    if upto < claim.stop:
        after = ShardState.PENDING if job.state == JobState.RUNNING else ShardState.CANCELLED
        insert_shard(connection, claim.job_id, claim.generation, claim.manifest_key, upto, claim.stop, after)
    return True


def _insert_part(connection: sa.Connection, claim: ShardClaim, upto: int, part: PartRecord) -> None:
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
            masks_counted=True,
        )
    )


def insert_results(
    connection: sa.Connection,
    rows: Sequence[Result],
    *,
    job_id: str,
    part_id: str | None,
    shard_id: str,
    fence: int,
    created_at: float,
) -> None:
    """(nothing) → current, the results of a shard. rows: in the order of the part `part_id`."""
    common = {
        "job_id": job_id,
        "part_id": part_id,
        "shard_id": shard_id,
        "fence": fence,
        "created_at": created_at,
    }
    values = [
        result.to_table() | common | {"part_row": None if part_id is None else place}
        for place, result in enumerate(rows)
    ]
    # An insert, not an upsert: if such a row exists, the ledger is wrong, and this must fail.
    insert_many(connection, results, values)
    insert_columns(connection, job_id, ((result.row, result.columns) for result in rows if result.primary))


def insert_columns(
    connection: sa.Connection, job_id: str, rows: Iterable[tuple[int, Mapping[str, Value]]]
) -> None:
    """(nothing) → the further columns of images, by their rows."""
    columns = [
        {
            "job_id": job_id,
            "name": name,
            "row": row,
            "text": value if isinstance(value, str) else None,
            "number": None if isinstance(value, str) else value,
        }
        for row, values in rows
        for name, value in values.items()
    ]
    # The columns of an image that is explained again exist already.
    insert_many(connection, image_columns, columns, ignore=True)


def _check_rows(claim: ShardClaim, upto: int, rows: Sequence[Result]) -> None:
    if not claim.start < upto <= claim.stop:
        raise ValueError(f"cannot commit up to {upto} of [{claim.start}, {claim.stop}); release it instead")
    primary = {record.row for record in rows if record.primary}
    if len(primary) != upto - claim.start:
        raise ValueError(f"{upto - claim.start} images, but primary results for {len(primary)}")
    if not claim.generation and primary != set(range(claim.start, upto)):
        raise ValueError(f"results are not those of rows [{claim.start}, {upto})")
    if others := {record.row for record in rows} - primary:
        raise ValueError(f"row {min(others)} has no primary result")


def count_statuses(rows: Sequence[Result]) -> dict[ImageStatus, int]:
    """The number of images by status, counted over primary records; zeros included."""
    counts = dict.fromkeys(ImageStatus, 0)
    for record in rows:
        counts[record.status] += record.primary
    return counts


def replace_current(
    connection: sa.Connection,
    job: sa.Row[Any],
    rows: Sequence[Result],
    counts: dict[ImageStatus, int],
    sums: Sums,
) -> dict[ImageStatus, int]:
    """Move the current rows that `rows` replace to `attempts`. Returns `counts` minus the counts of these rows, and
    subtracts the sums of these rows from `sums`. Their masks are due to be subtracted.

    A shard of a retry may therefore count −1 errors: the sums over all shards of a job are those of its
    current results.
    """
    numbers = sorted({record.row for record in rows})
    current = sa.and_(results.c.job_id == job.id, results.c.row.in_(numbers))
    replaced = sa.select(results.c.status, sa.func.count()).where(
        current, results.c.method == PRIMARY_METHOD, results.c.target_rank == 0
    )
    for status, number in connection.execute(replaced.group_by(results.c.status)):
        counts[ImageStatus(status)] -= number
    sums -= sums_of_stored(connection, current, every_label=each_label(job.config))
    owe_replaced(connection, current, each_label(job.config))
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
    """Whether this claim has committed these images before, and the worker did not receive the answer."""
    done = sa.select(shards.c.id).where(
        shards.c.id == claim.shard_id,
        shards.c.fence == claim.fence,
        in_state(shards, ShardState.DONE),
        shards.c.stop == upto,
    )
    return connection.execute(done).scalar() is not None

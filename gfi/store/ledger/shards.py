"""The rows of shards: their ids, their insertion, and changes of all waiting shards of a job at once."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import ShardState
from gfi.store.ledger.guards import shard_transition
from gfi.store.tables import shards

_BULK = 1000
SAMPLE = "manifest-s-"
"""In the key of a manifest whose images had no shard before: of a sample for an audit, and not of a retry."""


def shard_id(job_id: str, generation: int, start: int) -> str:
    """The id of a shard, from its job, retry and first position: two shards can never begin at the same position."""
    return f"{job_id}-r{generation}-{start}" if generation else f"{job_id}-{start}"


def generation_of(shard_id: str, job_id: str) -> int:
    """The number of the retry that a shard belongs to, 0 for the job's own manifest; it is part of the `shard_id`."""
    first, dash, _ = shard_id.removeprefix(f"{job_id}-").partition("-")
    return int(first[1:]) if dash and first.startswith("r") else 0


def insert_shard(
    connection: sa.Connection,
    job_id: str,
    generation: int,
    manifest_key: str,
    start: int,
    stop: int,
    state: ShardState = ShardState.PENDING,
    **columns: Any,
) -> None:
    """(nothing) → `state`: the shard [start, stop) of a manifest. `columns`: further columns of table `shards`."""
    row = _row(job_id, generation, manifest_key, start, stop, state)
    connection.execute(sa.insert(shards).values(**row, **columns))


def insert_shards(
    connection: sa.Connection,
    job_id: str,
    generation: int,
    manifest_key: str,
    bounds: Iterable[tuple[int, int]],
) -> int:
    """(nothing) → pending, every shard [start, stop) of `bounds`. Returns how many images they cover.

    Raises ValueError unless the shards begin at 0 and are contiguous.
    """
    covered = 0
    remaining = iter(bounds)
    while bulk := list(islice(remaining, _BULK)):
        rows = []
        for start, stop in bulk:
            if start != covered or stop <= start:
                raise ValueError(f"shard [{start}, {stop}) does not begin at {covered}")
            covered = stop
            rows.append(_row(job_id, generation, manifest_key, start, stop, ShardState.PENDING))
        connection.execute(sa.insert(shards), rows)
    return covered


def _row(job_id: str, generation: int, manifest_key: str, start: int, stop: int, state: ShardState) -> JSON:
    return {
        "id": shard_id(job_id, generation, start),
        "job_id": job_id,
        "manifest_key": manifest_key,
        "generation": generation,
        "start": start,
        "stop": stop,
        "state": state.value,
    }


def close_pending(
    connection: sa.Connection, job_id: str, after: ShardState, reason: str | None, failure_class: str | None
) -> None:
    """pending → failed | cancelled, every waiting shard of a job."""
    connection.execute(
        sa.update(shards)
        .where(shards.c.job_id == job_id, shard_transition(shards, ShardState.PENDING, after))
        .values(state=after.value, reason=reason, failure_class=failure_class, published_at=None)
    )


def reopen(connection: sa.Connection, job_id: str, classes: Sequence[str]) -> int:
    """failed | cancelled → pending, the shards of a job whose images have no result. Returns how many.

    Shards of an earlier retry stay closed: their images have results, by which a retry selects them
    (`gfi.store.queries.rows_with_status`), and would be explained twice. Those of an audit's samples have none.

    classes: if any are given, only failed shards with one of these failure classes are opened again.
    """
    opened = 0
    for before in (ShardState.FAILED, ShardState.CANCELLED):
        wanted = sa.or_(shards.c.generation == 0, shards.c.manifest_key.contains(SAMPLE))
        if classes and before is ShardState.FAILED:
            wanted &= shards.c.failure_class.in_(classes)
        changed = connection.execute(
            sa.update(shards)
            .where(shards.c.job_id == job_id, shard_transition(shards, before, ShardState.PENDING), wanted)
            .values(
                state=ShardState.PENDING.value,
                reason=None,
                failure_class=None,
                not_before=0.0,
                published_at=None,
                convicted=None,
                deaths=0,
                unexplained=0,
                releases=0,
            )
        )
        opened += changed.rowcount
    return opened

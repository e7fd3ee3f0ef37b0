"""Reading results in the order that `gfi.store.ledger.orders` has written."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.states import ShardState
from gfi.store.tables import in_state, result_orders, shards

ResultKey = tuple[int, str, int]
"""Row, method and rank of the class: what names a result of a job."""


class Ordered(NamedTuple):
    """Keys of results in the order of a number. complete: those without the number follow; otherwise they are not in
    the order."""

    keys: Iterator[ResultKey]
    complete: bool


class _Chunk(NamedTuple):
    chunk: int
    low: float | None
    low_row: int | None


def ordered_keys(
    connection: sa.Connection,
    job_id: str,
    name: str,
    descending: bool,
    after: tuple[Any, ...] | None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Ordered | None:
    """The keys behind a position in the order of a number, read as they are asked for.

    None when there is no order of the current results, or when the position is not in it. after: as for
    `gfi.store.queries.results.list_results`. at_least, at_most: chunks without a number between these are skipped. All
    keys must be read in the transaction of `connection`, and from one snapshot.
    """
    header = (result_orders.c.chunk, result_orders.c.low, result_orders.c.low_row, result_orders.c.commits)
    of_order = sa.and_(result_orders.c.job_id == job_id, result_orders.c.name == name)
    found = connection.execute(sa.select(*header).where(of_order).order_by(result_orders.c.chunk)).all()
    if not found:
        return None
    done = sa.and_(shards.c.job_id == job_id, in_state(shards, ShardState.DONE))
    commits = connection.execute(sa.select(sa.func.count()).select_from(shards).where(done)).scalar_one()
    if found[0].commits != commits:
        return None
    chunks = [_Chunk(row.chunk, row.low, row.low_row) for row in found]
    measured = [chunk for chunk in chunks if chunk.low is not None]
    rest = chunks[len(measured) :]
    complete = not (len(rest) == 1 and rest[0].low_row is None)
    if not complete:
        rest = []

    def read(chunk: _Chunk) -> list[ResultKey]:
        return _keys(connection, job_id, name, chunk.chunk)

    first: list[ResultKey] = []
    if after is not None:
        value, *place = after
        key = (place[0], place[1], place[2])
        group = rest if value is None else measured
        if value is None and not complete:
            return Ordered(iter(()), False)
        begin = (0.0 if value is None else float(value), key[0])
        lows = [(chunk.low or 0.0, chunk.low_row or 0) for chunk in group]
        at = bisect_right(lows, begin) - 1
        if at > 0 and lows[at] == begin and key not in read(group[at]):
            at -= 1  # several classes of an image with the same number, on both sides of the limit
        if at < 0 or key not in (inside := read(group[at])):
            return None
        position = inside.index(key)
        if value is None:
            first, measured, rest = inside[position + 1 :], [], rest[at + 1 :]
        elif descending:
            first, measured = inside[:position][::-1], measured[:at]
        else:
            first, measured = inside[position + 1 :], measured[at + 1 :]
    if at_least is not None or at_most is not None:
        measured, rest, complete = _between(measured, at_least, at_most), [], True

    def walk() -> Iterator[ResultKey]:
        yield from first
        for chunk in reversed(measured) if descending else measured:
            yield from read(chunk)[::-1] if descending else read(chunk)
        for chunk in rest:
            yield from read(chunk)

    return Ordered(walk(), complete)


def _between(chunks: list[_Chunk], at_least: float | None, at_most: float | None) -> list[_Chunk]:
    """Those that may have a number in this range: a chunk ends where the next begins."""
    kept = []
    for place, chunk in enumerate(chunks):
        high = chunks[place + 1].low if place + 1 < len(chunks) else None
        if at_least is not None and high is not None and high < at_least:
            continue
        if at_most is not None and chunk.low is not None and chunk.low > at_most:
            continue
        kept.append(chunk)
    return kept


def _keys(connection: sa.Connection, job_id: str, name: str, chunk: int) -> list[ResultKey]:
    query = sa.select(result_orders.c.rows, result_orders.c.kinds, result_orders.c.codes).where(
        result_orders.c.job_id == job_id, result_orders.c.name == name, result_orders.c.chunk == chunk
    )
    packed, kinds, codes = connection.execute(query).one()
    rows = struct.unpack(f"<{len(packed) // 4}i", packed)
    if kinds is None:
        return [(row, PRIMARY_METHOD, 0) for row in rows]
    named = [(str(method), int(rank)) for method, rank in kinds]
    return [
        (row, *named[code]) for row, code in zip(rows, struct.unpack(f"<{len(rows)}H", codes), strict=True)
    ]

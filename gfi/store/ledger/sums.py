"""The sums of a job's results: each commit writes those of its shard in its own transaction, and they are merged later.

Table `result_sums` has pieces; the sums of a job are those of all its pieces. A commit adds a piece under the id of its
shard: what its rows add, minus what the rows that they replace had added. `merge_sums` replaces pieces by their sum. A
shard is committed once, so nothing is counted twice. The masks of replaced rows are not at hand in a commit:
`gfi.store.ledger.mean_masks`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.job import LABELS
from gfi.domain.mean_masks import MeanMasks
from gfi.domain.metrics import NUMBERS
from gfi.domain.result import Result
from gfi.domain.sums import IDENTITY, Sums
from gfi.store.database import Database
from gfi.store.tables import result_sums, results

_PIECES = 1000  # merged at a time; more would only hold more memory


def each_label(config: Mapping[str, Any]) -> bool:
    """Whether a job with this stored configuration counts (image, label): `gfi.domain.job.JobConfig.each_label`."""
    return bool(config.get("target") == LABELS)


def counted(every_label: bool) -> sa.ColumnElement[bool]:
    """The condition that a result counts: of several classes of an image the first, of several labels each."""
    return sa.true() if every_label else results.c.target_rank == 0


def sums_of(rows: Iterable[Result], every_label: bool = False) -> Sums:
    """The sums of results. Of several classes of an image the first counts, of several labels each."""
    sums = Sums()
    for row in rows:
        if every_label or row.target_rank == 0:
            identity = (row.method, row.label, row.target, row.prediction, str(row.status))
            sums.add(identity, ((name, row.number(name)) for name in NUMBERS))
    return sums


def sums_of_stored(
    connection: sa.Connection, *which: sa.ColumnElement[bool], every_label: bool = False
) -> Sums:
    """The same, of the rows of table `results` that satisfy the conditions."""
    columns = (*IDENTITY, *NUMBERS)
    query = sa.select(*(results.c[name] for name in columns)).where(counted(every_label), *which)
    sums = Sums()
    for row in connection.execute(query, execution_options={"yield_per": 5000}):
        sums.add(row[: len(IDENTITY)], zip(NUMBERS, row[len(IDENTITY) :], strict=True))
    return sums


def insert_sums(
    connection: sa.Connection, job_id: str, piece: str, sums: Sums, masks: MeanMasks | None = None
) -> None:
    """(nothing) → a piece. An insert and no upsert: if the shard has one, the ledger is wrong, and this must fail."""
    connection.execute(sa.insert(result_sums).values(_piece(job_id, piece, sums, masks)))


def merge_sums(db: Database, job_id: str) -> int:
    """Replace the pieces of a job by few that have the same sum. Returns how many there were.

    The pieces are locked, so two processes that merge at once do not count one twice; commits are not held up.
    """
    merged = 0
    while True:
        with db.begin() as connection:
            query = (
                sa.select(result_sums.c.piece, result_sums.c.totals, result_sums.c.cells)
                .where(result_sums.c.job_id == job_id)
                .order_by(result_sums.c.piece)
                .limit(_PIECES)
                .with_for_update()
            )
            pieces = connection.execute(query).mappings().all()
            if len(pieces) < 2:
                return merged
            sums = Sums()
            for piece in pieces:
                sums += Sums.unpacked(piece["totals"], piece["cells"])
            names = [piece["piece"] for piece in pieces]
            mine = sa.and_(result_sums.c.job_id == job_id, result_sums.c.piece.in_(names))
            masks = MeanMasks()
            packed = sa.select(result_sums.c.masks).where(mine, result_sums.c.masks.is_not(None))
            for (data,) in connection.execute(packed, execution_options={"yield_per": 50}):
                masks += MeanMasks.unpacked(data)
            connection.execute(sa.delete(result_sums).where(mine))
            insert_sums(connection, job_id, f"merged-{new_id()}", sums, masks)
        merged += len(pieces)
        if len(pieces) < _PIECES:
            return merged


def _piece(job_id: str, name: str, sums: Sums, masks: MeanMasks | None) -> dict[str, Any]:
    totals, cells = sums.packed()
    packed = masks.packed() if masks else None
    return {"job_id": job_id, "piece": name, "totals": totals, "cells": cells, "masks": packed}

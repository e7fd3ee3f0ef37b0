"""Mean masks of results that no worker commits at the moment: replaced ones are subtracted, carried ones added, later.

A commit adds the masks of its rows to the sums (`gfi.store.ledger.sums`). Those of rows that it replaces, and of rows
that an incremental job carries over, are in parts in the bucket, which a transaction must not wait for. So it lists
them in table `masks_due`. The report at the end of the job reads them, and removes them from the table in the
transaction that adds or subtracts them: each exactly once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.mean_masks import MeanMasks
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.domain.sums import Sums
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.ledger.sums import counted, insert_sums
from gfi.store.parts import Part
from gfi.store.tables import masks_due, parts, results

_BATCH = 1000
_COLUMNS = ("status", "method", "label", "target", "grid", "grid_height", "grid_width")


def owe_replaced(
    connection: sa.Connection, replaced: sa.ColumnElement[bool], every_label: bool = False
) -> None:
    """(nothing) → due, the masks of the results that satisfy `replaced`, as far as the sums of their job have them.

    They have those of carried results, and those of parts that were committed by a version that counts masks.
    """
    summed = sa.or_(parts.c.job_id != results.c.job_id, parts.c.masks_counted)
    query = (
        sa.select(results.c.job_id, results.c.part_id, results.c.part_row, sa.literal(-1))
        .join(parts, parts.c.id == results.c.part_id)
        .where(replaced, summed, counted(every_label), results.c.status == ImageStatus.OK.value)
    )
    connection.execute(sa.insert(masks_due).from_select(["job_id", "part_id", "part_row", "sign"], query))


def owe_carried(
    connection: sa.Connection, carried: Iterable[Mapping[str, Any]], every_label: bool = False
) -> None:
    """(nothing) → due, the masks of results that a job takes from another. carried: rows of table `results`."""
    due = [
        {name: row[name] for name in ("job_id", "part_id", "part_row")} | {"sign": 1}
        for row in carried
        if (every_label or row["target_rank"] == 0) and row["status"] == ImageStatus.OK
    ]
    if due:
        connection.execute(sa.insert(masks_due), due)


def settle_masks(
    db: Database, job_id: str, read: Callable[[str], Part], check: Callable[[], None] = lambda: None
) -> int:
    """due → (nothing): subtract the masks of replaced results, and add those of carried ones.

    read: a part by its id. check: called between parts. Returns how many stay due, because their part is gone or
    damaged. Raises Transient where the bucket is away; what was settled before that stays so.
    """
    left = 0
    after = ("", -1, 0)
    key = (masks_due.c.part_id, masks_due.c.part_row, masks_due.c.sign)
    while True:
        query = (
            sa.select(*key)
            .where(masks_due.c.job_id == job_id, sa.tuple_(*key) > sa.tuple_(*map(sa.literal, after)))
            .order_by(*key)
            .limit(_BATCH)
        )
        with db.read() as connection:
            due = [(part, row, sign) for part, row, sign in connection.execute(query)]
        if not due:
            return left
        after = due[-1]
        rows: dict[tuple[str, int], list[int]] = defaultdict(list)
        for part, row, sign in due:
            rows[part, sign].append(row)
        for (part, sign), those in rows.items():
            while those:
                check()
                try:
                    masks = _masks(read(part), those)
                except Transient:
                    raise
                except StoreError:
                    left += len(those)
                    break
                those = _settle(db, job_id, part, sign, those, masks)


def _masks(part: Part, rows: list[int]) -> MeanMasks:
    if max(rows) >= len(part):
        raise StoreError(
            f"the part of shard {part.header.shard_id} has {len(part)} rows, not row {max(rows)}"
        )
    masks = MeanMasks()
    for row in part.take(np.array(rows), _COLUMNS).to_pylist():
        if row["grid"] is not None:
            grid = np.frombuffer(row["grid"], "<f4").reshape(row["grid_height"], row["grid_width"])
            group = {name: row[name] for name in ("method", "label", "target")}
            masks.add(Result(0, "", ImageStatus(row["status"]), grid=grid, **group))
    return masks


def _settle(db: Database, job_id: str, part: str, sign: int, rows: list[int], masks: MeanMasks) -> list[int]:
    """Settle these rows, whose masks these are. Returns none; or those that are still due where another task has
    settled some of them meanwhile, and then changes nothing."""
    mine = sa.and_(
        masks_due.c.job_id == job_id,
        masks_due.c.part_id == part,
        masks_due.c.sign == sign,
        masks_due.c.part_row.in_(rows),
    )
    change = MeanMasks()
    if sign > 0:
        change += masks
    else:
        change -= masks
    with db.begin() as connection:
        locked = connection.execute(sa.select(masks_due.c.part_row).where(mine).with_for_update()).scalars()
        due = sorted(locked)
        if len(due) < len(rows):
            return due
        connection.execute(sa.delete(masks_due).where(mine))
        insert_sums(connection, job_id, f"settled-{new_id()}", Sums(), change)
        return []

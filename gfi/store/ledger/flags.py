"""Flags and notes that people attach to images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gfi.store.database import Database, now, upsert
from gfi.store.ledger.guards import lock_job
from gfi.store.tables import flags


@dataclass(frozen=True)
class Flagged:
    """What `set_flags` did. before: the flags that the changed images had, {row, flag, note}, flag None for none; who
    sets these again has undone it. kept: rows and owners of flags that the caller may not change."""

    before: list[dict[str, Any]]
    kept: list[tuple[int, str]]


def set_flags(
    db: Database,
    job_id: str,
    rows: Sequence[int],
    flag: str | None,
    note: str = "",
    owner: str = "",
    *,
    of_anyone: bool = True,
) -> Flagged:
    """Set the flag and the note of images of a job; a flag of None removes both.

    Unless `of_anyone`, flags that somebody other than `owner` put are not changed.
    """
    wanted = sorted(set(rows))
    with db.begin() as connection:
        # Not shared for a caller with limited rights: of two concurrent calls the second must see the first one's flag.
        lock_job(connection, job_id, shared=of_anyone)
        mine = sa.and_(flags.c.job_id == job_id, flags.c.row.in_(wanted))
        known = {row.row: row for row in connection.execute(sa.select(flags).where(mine))}
        kept = [(row, one.owner) for row, one in known.items() if not of_anyone and one.owner != owner]
        changed = sorted(set(wanted) - {row for row, _ in kept})
        before = [
            {"row": row, "flag": known[row].flag, "note": known[row].note}
            if row in known
            else {"row": row, "flag": None, "note": ""}
            for row in changed
        ]
        if flag is None:
            connection.execute(sa.delete(flags).where(flags.c.job_id == job_id, flags.c.row.in_(changed)))
        elif changed:
            at = connection.execute(sa.select(now())).scalar_one()
            values = {"job_id": job_id, "flag": flag, "note": note, "owner": owner, "at": at}
            upsert(connection, flags, [values | {"row": row} for row in changed], ("job_id", "row"))
    return Flagged(before, sorted(kept))


def set_flag(
    db: Database,
    job_id: str,
    row: int,
    flag: str | None,
    note: str = "",
    owner: str = "",
    *,
    of_anyone: bool = True,
) -> str | None:
    """`set_flags` of one image. Returns the owner of a flag that was not changed, and None otherwise."""
    kept = set_flags(db, job_id, [row], flag, note, owner, of_anyone=of_anyone).kept
    return kept[0][1] if kept else None

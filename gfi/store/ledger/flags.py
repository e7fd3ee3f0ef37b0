"""Flags and notes that people attach to images."""

import sqlalchemy as sa

from gfi.store.database import Database, now, upsert
from gfi.store.ledger.guards import lock_job
from gfi.store.tables import flags


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
    """Set the flag and the note of an image of a job; a flag of None removes both.

    Unless `of_anyone`, a flag that somebody other than `owner` put is not changed. Returns the name of that owner then,
    and None otherwise.
    """
    with db.begin() as connection:
        # Not shared for a caller with limited rights: of two concurrent calls the second must see the first one's flag.
        lock_job(connection, job_id, shared=of_anyone)
        if not of_anyone:
            mine = sa.select(flags.c.owner).where(flags.c.job_id == job_id, flags.c.row == row)
            other: str | None = connection.execute(mine).scalar()
            if other is not None and other != owner:
                return other
        if flag is None:
            same = sa.and_(flags.c.job_id == job_id, flags.c.row == row)
            connection.execute(sa.delete(flags).where(same))
            return None
        values = {"job_id": job_id, "row": row, "flag": flag, "note": note, "owner": owner}
        values["at"] = connection.execute(sa.select(now())).scalar_one()
        upsert(connection, flags, [values], ("job_id", "row"))
        return None

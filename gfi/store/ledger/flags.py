"""Flags and notes that people attach to images."""

import sqlalchemy as sa

from gfi.store.database import Database, now, upsert
from gfi.store.ledger.guards import lock_job
from gfi.store.tables import flags


def set_flag(db: Database, job_id: str, row: int, flag: str | None, note: str = "", owner: str = "") -> None:
    """Set the flag and the note of an image of a job; a flag of None removes both."""
    with db.begin() as connection:
        lock_job(connection, job_id, shared=True)
        if flag is None:
            same = sa.and_(flags.c.job_id == job_id, flags.c.row == row)
            connection.execute(sa.delete(flags).where(same))
            return
        values = {"job_id": job_id, "row": row, "flag": flag, "note": note, "owner": owner}
        values["at"] = connection.execute(sa.select(now())).scalar_one()
        upsert(connection, flags, [values], ("job_id", "row"))

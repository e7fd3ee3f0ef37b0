"""The audit log: which person or process did what, and when."""

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.store.database import Database, now
from gfi.store.tables import audit


def record(
    connection: sa.Connection, actor: str, action: str, job_id: str | None = None, details: JSON | None = None
) -> None:
    """Add an entry in the transaction of the change that it records."""
    connection.execute(
        sa.insert(audit).values(
            id=new_id(), at=now(), actor=actor, action=action, job_id=job_id, details=details or {}
        )
    )


def audited(
    db: Database, actor: str, action: str, job_id: str | None = None, details: JSON | None = None
) -> None:
    """Add an entry for something that changes nothing in the database."""
    with db.begin() as connection:
        record(connection, actor, action, job_id, details)

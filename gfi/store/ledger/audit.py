"""Entries of the audit for what changes no state here."""

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.ledger.jobs import record


def audited(
    db: Database, actor: str, action: str, job_id: str | None = None, details: JSON | None = None
) -> None:
    """Add a line to the audit for something that is no change of state here."""
    with db.begin() as connection:
        record(connection, actor, action, job_id, details)

"""Registered models."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gfi.store.database import Database, insert, now
from gfi.store.errors import NotFound
from gfi.store.ledger.audit import record
from gfi.store.tables import models


def save_model(db: Database, reference: str, digest: str, model: Mapping[str, Any], *, actor: str) -> None:
    """Register the record of a model, or replace it. Jobs keep the record with which they were submitted."""
    with db.begin() as connection:
        write_model(connection, reference, digest, model, actor=actor)


def write_model(
    connection: sa.Connection, reference: str, digest: str, model: Mapping[str, Any], *, actor: str
) -> None:
    """`save_model` within a transaction of the caller, such as the commit of its registration."""
    statement = insert(connection, models).values(
        reference=reference, digest=digest, record=dict(model), created_at=now(), updated_at=now()
    )
    names = ("digest", "record", "updated_at")
    changes = {name: statement.excluded[name] for name in names}
    connection.execute(statement.on_conflict_do_update(index_elements=["reference"], set_=changes))
    record(connection, actor, "model.saved", None, {"reference": reference, "digest": digest})


def delete_model(db: Database, reference: str, *, actor: str = "local") -> None:
    """Remove a registered model. Raises NotFound if there is none with this name."""
    with db.begin() as connection:
        if not connection.execute(sa.delete(models).where(models.c.reference == reference)).rowcount:
            raise NotFound(f"no model {reference}; `gfi models` lists them")
        record(connection, actor, "model.deleted", None, {"reference": reference})

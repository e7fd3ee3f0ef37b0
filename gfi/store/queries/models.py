"""Registered models."""

from dataclasses import dataclass

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database
from gfi.store.queries.fetching import fetch
from gfi.store.tables import models


@dataclass(frozen=True)
class Model:
    """A registered model: everything that is known about it without loading torch."""

    reference: str
    digest: str
    record: JSON
    created_at: float
    updated_at: float


def find_model(db: Database, reference: str) -> Model | None:
    """A registered model; None if there is none with this name."""
    rows = fetch(db, sa.select(models).where(models.c.reference == reference))
    return Model(**rows[0]) if rows else None


def list_models(db: Database) -> list[Model]:
    """Registered models by reference."""
    return [Model(**row) for row in fetch(db, sa.select(models).order_by(models.c.reference))]

"""Fixtures shared by the tests of jobs and of the scheduler."""

import pytest

from gfi.store import ledger
from gfi.store.database import Database
from tests.service.model_record import RECORD


@pytest.fixture
def registered(database: Database) -> Database:
    """A database with one registered model."""
    ledger.save_model(database, "net", RECORD["digest"], RECORD, actor="test")
    return database

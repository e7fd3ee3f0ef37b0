"""What the tests of jobs and of the scheduler share."""

import pytest

from gfi.store import ledger
from gfi.store.database import Database
from tests.service.model_record import RECORD


@pytest.fixture
def registered(database: Database) -> Database:
    """A database that knows one model."""
    ledger.save_model(database, "net", RECORD["digest"], RECORD, actor="test")
    return database

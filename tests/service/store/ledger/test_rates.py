"""Measured rates."""

import pytest

from gfi.store import ledger, queries
from gfi.store.database import Database


def test_the_lowest_rate_counts_where_no_device_is_named(database: Database) -> None:
    assert queries.measured_rate(database, "work") is None
    ledger.save_rate(database, "work", "cpu", 2.0)
    ledger.save_rate(database, "work", "cuda:H200", 20.0)
    assert queries.measured_rate(database, "work") == 2.0
    assert queries.measured_rate(database, "work", "cuda:H200") == 20.0


def test_a_measured_rate_is_smoothed(database: Database) -> None:
    ledger.save_rate(database, "work", "cpu", 2.0)
    ledger.save_rate(database, "work", "cpu", 3.0)
    assert queries.measured_rate(database, "work", "cpu") == pytest.approx(0.7 * 2.0 + 0.3 * 3.0)

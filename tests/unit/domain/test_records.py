"""The records of the ledger."""

import pytest

from gfi.domain.records import ResultRecord
from gfi.domain.statuses import ImageStatus


def test_numbers_a_database_cannot_hold_become_null() -> None:
    record = ResultRecord(
        row=1, key="k", status=ImageStatus.OK, kept=float("inf"), metrics={"entropy": float("nan")}
    )
    columns = record.columns()
    assert columns["kept"] is None
    assert columns["entropy"] is None
    with pytest.raises(ValueError, match="no column for metric 'beauty'"):
        ResultRecord(row=1, key="k", status=ImageStatus.OK, metrics={"beauty": 1.0}).columns()

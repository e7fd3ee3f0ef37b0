"""Flags of images."""

import pytest

from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from tests.service.store.ledger_actors import finish_all, plan


def test_flags_come_with_their_notes_and_go_again(database: Database) -> None:
    job = plan(database, total=2)
    finish_all(database)
    ledger.set_flag(database, job, 1, "wrong", "looks at the sky", "ann")
    ledger.set_flag(database, job, 1, "wrong", "looks at the grass", "ann")
    (flag,) = queries.list_flags(database, job)
    assert (flag["row"], flag["note"], flag["key"]) == (1, "looks at the grass", "1.jpg")
    flagged = queries.Filters(flagged=True)
    assert [row.row for row in queries.list_results(database, job, filters=flagged)] == [1]
    ledger.set_flag(database, job, 1, None)
    assert queries.list_flags(database, job) == []
    with pytest.raises(NotFound):
        ledger.set_flag(database, "nosuch", 1, "wrong")

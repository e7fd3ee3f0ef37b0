"""Registered models."""

from gfi.store import ledger, queries
from gfi.store.database import Database


def test_a_model_is_replaced_and_removed(database: Database) -> None:
    ledger.save_model(database, "net", "d1", {"classes": 3}, actor="ann")
    ledger.save_model(database, "net", "d2", {"classes": 4}, actor="ann")
    model = queries.find_model(database, "net")
    assert model is not None
    assert (model.digest, model.record) == ("d2", {"classes": 4})
    assert [model.reference for model in queries.list_models(database)] == ["net"]
    ledger.delete_model(database, "net")
    assert queries.find_model(database, "net") is None

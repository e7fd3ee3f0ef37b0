"""Registered models and their versions."""

import pytest
import sqlalchemy as sa

from gfi.domain.job import ModelRef
from gfi.domain.states import ControlKind
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.tables import models
from tests.service.store.ledger_actors import submit


def save(database: Database, digest: str, classes: int, note: str = "") -> int:
    return ledger.save_model(database, "net", digest, {"classes": classes}, actor="ann", note=note)


def test_every_registration_that_changes_something_is_a_version(database: Database) -> None:
    assert save(database, "d1", 3, "first") == 1
    assert save(database, "d1", 3, "again") == 1  # nothing changed
    assert save(database, "d1", 4) == 2  # the digest does not name the classes
    assert save(database, "d2", 4, "new weights") == 3
    assert save(database, "d1", 3) == 4  # as version 1, but registered later: the newest
    found = {name: queries.find_model(database, name) for name in ("net", "net@1", "net@3", "net@5", "net@0")}
    assert {name: model and (model.version, model.digest) for name, model in found.items()} == {
        "net": (4, "d1"),
        "net@1": (1, "d1"),
        "net@3": (3, "d2"),
        "net@5": None,
        "net@0": None,
    }
    for named, version in (
        (ModelRef("net", "d2", 3), 3),
        (ModelRef("net", "d1"), 4),
        (ModelRef("net", "d9", 9), None),
    ):
        known = queries.model_of(database, named)
        assert (known and known.version) == version
    third = found["net@3"]
    assert third is not None
    assert (third.reference, third.note, third.actor, third.record) == (
        "net",
        "new weights",
        "ann",
        {"classes": 4},
    )
    assert [model.version for model in queries.list_versions(database, "net")] == [4, 3, 2, 1]
    assert [(model.reference, model.version) for model in queries.list_models(database)] == [("net", 4)]


def test_a_number_is_never_used_again(database: Database) -> None:
    save(database, "d1", 3)
    save(database, "d2", 3)
    ledger.delete_model(database, "net@2")
    newest = queries.find_model(database, "net")
    assert newest is not None
    assert (newest.version, newest.digest) == (1, "d1")
    with database.begin() as connection:
        assert connection.execute(sa.select(models.c.digest)).scalar_one() == "d1"
    assert save(database, "d2", 3) == 3
    ledger.delete_model(database, "net")
    assert queries.find_model(database, "net") is None
    assert queries.list_models(database) == []
    for name in ("net", "net@1"):
        with pytest.raises(NotFound, match=f"no model {name}; `gfi models` lists them"):
            ledger.delete_model(database, name)
    assert save(database, "d1", 3) == 4


def test_a_model_is_kept_while_a_job_needs_it(database: Database) -> None:
    save(database, "d1", 3)
    save(database, "d2", 3)
    job = submit(database, config={"model": {"reference": "net", "digest": "d1", "version": 1}})
    submit(database, config={"model": {"reference": "other", "digest": "d2"}})
    for name in ("net", "net@1"):
        with pytest.raises(Conflict, match=f"job {job} needs model {name}; cancel the job or wait"):
            ledger.delete_model(database, name)
    ledger.delete_model(database, "net@2")
    ledger.cancel_job(database, job)
    ledger.delete_model(database, "net@1")


def test_files_that_were_sent_for_a_registration_are_needed_until_it_has_ended(database: Database) -> None:
    """With no worker at hand for an hour, the sweep deleted them, and the registration failed."""
    file = {"name": "m.toml", "sha256": "ab" * 32, "bytes": 3}
    task, _ = ledger.request_task(
        database, ControlKind.REGISTER, {"reference": "m", "files": [file]}, owner="ada"
    )
    ledger.request_task(database, ControlKind.REGISTER, {"reference": "other"}, owner="ada")
    assert queries.needed_model_files(database) == {file["sha256"]}
    assert ledger.cancel_task(database, task)
    assert queries.needed_model_files(database) == set()

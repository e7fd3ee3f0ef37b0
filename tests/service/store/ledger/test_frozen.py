"""The execution profile of a job."""

from gfi.store import ledger
from gfi.store.database import Database
from tests.service.store.ledger_actors import plan


def test_the_first_profile_is_frozen_and_replaced_only_by_who_knows_it(database: Database) -> None:
    job = plan(database)
    assert ledger.freeze_profile(database, job, {"batch": 8}, "cpu") == {"batch": 8}
    assert ledger.freeze_profile(database, job, {"batch": 4}, "cpu") == {"batch": 8}
    assert ledger.replace_profile(database, job, {"batch": 6}, {"batch": 2}) == {"batch": 8}
    assert ledger.replace_profile(database, job, {"batch": 8}, {"batch": 4}) == {"batch": 4}

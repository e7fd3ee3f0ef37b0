"""The execution profile of a job."""

import pytest

from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.lease import LeaseLost
from tests.service.store.ledger_actors import OVER, claim, plan


def test_the_first_profile_is_frozen_and_replaced_only_by_who_knows_it(database: Database) -> None:
    job = plan(database)
    assert ledger.freeze_profile(database, job, {"batch": 8}, "cpu") == {"batch": 8}
    assert ledger.freeze_profile(database, job, {"batch": 4}, "cpu") == {"batch": 8}
    assert ledger.replace_profile(database, job, {"batch": 6}, {"batch": 2}) == {"batch": 8}
    assert ledger.replace_profile(database, job, {"batch": 8}, {"batch": 4}) == {"batch": 4}


def test_a_worker_whose_lease_is_lost_freezes_and_replaces_no_profile(database: Database) -> None:
    """It was suspended while it loaded the network, and bound the job to a kind of device that was gone since."""
    job = plan(database, total=2, size=2)
    lost = claim(database, OVER)
    ledger.expire_leases(database)
    with pytest.raises(LeaseLost):
        ledger.freeze_profile(database, job, {"batch": 8}, "cuda:gone", lost)
    assert queries.get_job(database, job).device_kind is None
    held = claim(database)
    assert ledger.freeze_profile(database, job, {"batch": 4}, "cpu", held) == {"batch": 4}
    with pytest.raises(LeaseLost):
        ledger.replace_profile(database, job, {"batch": 4}, {"batch": 1}, lost)
    assert ledger.replace_profile(database, job, {"batch": 4}, {"batch": 2}, held) == {"batch": 2}

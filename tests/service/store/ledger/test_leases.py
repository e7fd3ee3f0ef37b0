"""The lease of a shard: renewed, released, lost."""

import pytest

from gfi.domain.states import JobState
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger.leases import OTHER_RELEASES, TRANSIENT_RELEASES
from tests.service.store.ledger_actors import (
    LEASE,
    OVER,
    claim,
    commit,
    noted,
    plan,
    recorded,
    states,
)


def test_a_worker_without_its_lease_changes_nothing(database: Database) -> None:
    job = plan(database, total=4)
    frozen = claim(database, lease_s=OVER)
    assert [e.outcome for e in ledger.expire_leases(database)] == ["returned"]
    for _ in range(2):  # before and after another worker has claimed it
        assert not ledger.renew_lease(database, frozen, LEASE, in_flight=[0]).held
        assert not commit(database, frozen)
        assert not ledger.release_shard(database, frozen, "stopped")
        other = ledger.claim_shard(database, "other", "explain", LEASE)
    assert other is None
    assert recorded(database, job) == {}
    (row,) = queries.list_shards(database, job)
    assert (row["state"], row["worker"], row["fence"]) == ("leased", "other", frozen.fence + 1)


def test_a_renewed_lease_is_not_reaped(database: Database) -> None:
    plan(database)
    held = claim(database, lease_s=OVER)
    assert ledger.renew_lease(database, held, LEASE).held
    assert ledger.expire_leases(database) == []


def test_a_release_in_order_blames_nobody_however_often(database: Database) -> None:
    job = plan(database, total=4)
    for _ in range(TRANSIENT_RELEASES + 1):
        held = claim(database)
        ledger.renew_lease(database, held, LEASE, in_flight=[0, 1])
        assert ledger.release_shard(database, held, "SIGTERM")
    assert states(database, job) == [(0, 4, "pending")]
    assert noted(database, job, "death") == 0


@pytest.mark.parametrize(("transient", "most"), [(True, TRANSIENT_RELEASES), (False, OTHER_RELEASES)])
def test_a_shard_that_makes_no_progress_is_given_up_listed_and_can_be_retried(
    database: Database, transient: bool, most: int
) -> None:
    job = plan(database, total=6, size=3)
    assert commit(database, claim(database))
    for _ in range(most):
        held = claim(database)
        assert ledger.release_shard(
            database, held, "the bucket is away", failure_class="s3", transient=transient, delay_s=0.0
        )
    assert states(database, job) == [(0, 3, "done"), (3, 6, "failed")]
    assert ledger.finish_jobs(database)[0].state is JobState.PARTIAL
    assert queries.get_job(database, job).error == "3 images were given up: the bucket is away"
    (failure,) = queries.failures(database, job)
    assert (failure["status"], failure["error_class"], failure["images"]) == ("failed", "s3", 3)


def test_a_failure_waits_before_the_next_attempt(database: Database) -> None:
    job = plan(database, total=4)
    assert ledger.release_shard(database, claim(database), "away", failure_class="s3", transient=True)
    assert ledger.claim_shard(database, "w", "explain", LEASE) is None
    assert ledger.dispatch(database, 10, LEASE) == []
    (row,) = queries.list_shards(database, job)
    assert 1.0 < row["not_before"] - database.now() < 3.0


def test_progress_clears_a_shards_record_of_failures(database: Database) -> None:
    job = plan(database, total=4)
    for row in range(4):
        for _ in range(OTHER_RELEASES - 1):
            held = claim(database)
            assert ledger.release_shard(database, held, "away", failure_class="s3", delay_s=0.0)
        assert commit(database, claim(database), upto=row + 1)
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    assert recorded(database, job) == dict.fromkeys(range(4), "ok")

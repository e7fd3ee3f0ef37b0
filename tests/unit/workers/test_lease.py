"""The lease writes changes to the ledger in order, and nothing twice."""

import threading
import time
from typing import Any

import pytest

from gfi.domain.records import LeaseAnswer, ShardClaim
from gfi.store import ledger
from gfi.store.errors import Transient
from gfi.store.lease import LeaseLost
from workers import lease as lease_module
from workers.lease import ShardLease


class Told:
    """Stands in for `ledger.renew_lease`."""

    def __init__(self) -> None:
        self.rows: list[set[int]] = []
        self.held = True
        self.away = 0
        self.keeper_s = 0.0
        self.error: Exception | None = None

    def __call__(self, *_: Any, in_flight: frozenset[int], **__: Any) -> LeaseAnswer:
        if threading.current_thread().name.startswith("lease-"):
            time.sleep(self.keeper_s)  # a slow database, for the keeper only
        if self.away:
            self.away -= 1
            raise Transient("the database is restarting")
        if self.error is not None:
            raise self.error
        self.rows.append(set(in_flight))
        return LeaseAnswer(held=self.held, wanted="continue")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(ledger, "renew_lease", told)
    monkeypatch.setattr(ledger, "retract_death", lambda *_: None)
    return told


def lease(poll_s: float = 60.0) -> ShardLease:
    claim: Any = ShardClaim.__new__(ShardClaim)
    for name, value in (("shard_id", "s"), ("fence", 1), ("job_id", "j")):
        object.__setattr__(claim, name, value)
    return ShardLease(None, claim, lease_s=60, poll_s=poll_s, stall_s=60, shutdown=threading.Event())  # type: ignore[arg-type]


def test_rows_announced_for_decoding_are_not_announced_again_for_the_optimiser(told: Told) -> None:
    held = lease()
    held.announce_decoding([0, 1, 2, 3])
    held.announce_optimising([0, 1])
    held.announce_optimising([0, 1])
    assert told.rows == [{0, 1, 2, 3}]
    held.announce_decoding([2, 3, 4, 5])
    assert told.rows[1:] == [{0, 1, 2, 3, 4, 5}], "what the optimiser still has stays named"
    held.announce_optimising([2, 3])
    held.announce_decoding([4, 5, 6, 7])
    assert told.rows[2:] == [{2, 3, 4, 5, 6, 7}]


def test_a_row_that_the_ledger_lacks_is_told_before_the_step_goes_on(told: Told) -> None:
    held = lease()
    held.announce_decoding([0, 1])
    held.announce_decoding([2, 3])  # 0 and 1 wait in the engine for a slot, unnamed
    held.announce_optimising([0, 1])
    assert told.rows[-1] == {0, 1, 2, 3}
    held.announce_nothing()
    assert told.rows[-1] == set()
    held.announce_optimising([1])
    assert told.rows[-1] == {1}


def test_a_renewal_never_takes_back_what_was_announced_after_it(told: Told) -> None:
    """The keeper's renewal, begun before an announcement, must not reach the ledger after it."""
    told.keeper_s = 0.01
    with lease(poll_s=0.001) as held:
        for row in range(30):
            held.announce_decoding([row])
            time.sleep(0.003)  # so that the keeper begins a renewal between two announcements
    order = [row for rows in told.rows for row in rows]
    assert order == sorted(order)


def test_while_the_database_is_away_nothing_counts_as_told(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "RETRY_S", 0.01)
    held = lease()
    held.announce_decoding([0, 1])
    told.away = 3
    held.announce_decoding([2, 3])  # returns when it is recorded, not before
    assert told.away == 0
    assert told.rows[-1] == {2, 3}
    told.away = 1
    held.announce_nothing()  # no image is in flight any more: nothing to wait for
    assert told.away == 0
    held.announce_optimising([2])
    assert told.rows[-1] == {2}, "what was written before the outage may be gone from the ledger"


def test_a_worker_that_is_to_stop_does_not_wait_for_the_database(told: Told) -> None:
    held = lease()
    held.stop.set()
    told.away = 1
    held.announce_decoding([0])
    assert told.rows == []


def test_an_announcement_of_a_lease_that_is_gone_raises(told: Told) -> None:
    held = lease()
    told.held = False
    with pytest.raises(LeaseLost):
        held.announce_decoding([0])
    assert held.stop.is_set()


def test_an_announcement_that_no_attempt_could_record_raises(told: Told) -> None:
    """It was tried again without end, and the shard was never given back with the reason."""
    told.error = TypeError("Object of type int64 is not JSON serializable")
    with pytest.raises(TypeError, match="int64"):
        lease().announce_decoding([0])

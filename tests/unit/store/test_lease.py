"""The same rules keep the leases of shards and of control tasks."""

import threading

import pytest

from gfi.domain.records import LeaseAnswer
from gfi.store.errors import Transient
from gfi.store.lease import LeaseKeeper, LeaseLost

LONG_S = 60.0


class Ledger:
    """Answers renewals as the test requires, and signals when `awaited` renewals have been requested."""

    def __init__(self) -> None:
        self.answer = LeaseAnswer(held=True, wanted="continue")
        self.away = False
        self.error: Exception | None = None
        self.asked = threading.Semaphore(0)

    def renew(self) -> LeaseAnswer:
        self.asked.release()
        if self.away:
            raise Transient("the database is restarting")
        if self.error is not None:
            raise self.error
        return self.answer

    def wait(self, renewals: int) -> None:
        """Wait until this many more renewals have been requested."""
        for _ in range(renewals):
            assert self.asked.acquire(timeout=LONG_S)


def keeper(ledger: Ledger, lease_s: float = LONG_S, shutdown: threading.Event | None = None) -> LeaseKeeper:
    """A lease that is renewed without pauses."""
    return LeaseKeeper(
        ledger.renew, name="task", lease_s=lease_s, poll_s=0.001, shutdown=shutdown or threading.Event()
    )


def test_a_lease_is_renewed_until_its_block_ends() -> None:
    ledger = Ledger()
    with keeper(ledger) as lease:
        ledger.wait(3)
        assert not lease.stop.is_set()
        lease.check_held()
    assert not [thread for thread in threading.enumerate() if thread.name == "lease-task"]


def test_a_refused_renewal_ends_the_work_and_is_the_last() -> None:
    ledger = Ledger()
    ledger.answer = LeaseAnswer(held=False, wanted="continue")
    with keeper(ledger) as lease:
        assert lease.lost.wait(LONG_S)
        assert lease.stop.is_set()
        with pytest.raises(LeaseLost, match="task"):
            lease.check_held()
    ledger.wait(1)
    assert not ledger.asked.acquire(blocking=False)


@pytest.mark.parametrize("wanted", ["pause", "cancel"])
def test_work_that_is_to_stop_keeps_its_lease_until_it_has_stopped(wanted: str) -> None:
    ledger = Ledger()
    ledger.answer = LeaseAnswer(held=True, wanted=wanted)  # type: ignore[arg-type]
    with keeper(ledger) as lease:
        assert lease.stop.wait(LONG_S)
        ledger.wait(3)
        lease.check_held()


def test_a_process_that_is_told_to_end_keeps_its_lease_until_its_work_has_ended() -> None:
    ledger, shutdown = Ledger(), threading.Event()
    with keeper(ledger, shutdown=shutdown) as lease:
        shutdown.set()
        assert lease.stop.wait(LONG_S)
        ledger.wait(3)
        lease.check_held()


def test_a_database_that_is_away_costs_nothing_within_the_lease() -> None:
    ledger = Ledger()
    ledger.away = True
    with keeper(ledger) as lease:
        ledger.wait(5)
        assert not lease.stop.is_set()
        ledger.away = False
        assert lease.renew()


def test_a_database_that_is_away_for_longer_than_the_lease_loses_it() -> None:
    ledger = Ledger()
    ledger.away = True
    with keeper(ledger, lease_s=0.01) as lease:
        assert lease.lost.wait(LONG_S)
        assert lease.stop.is_set()


class NoPause(threading.Event):
    """An event that is awaited without waiting."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


@pytest.mark.parametrize(("told_to_stop", "calls"), [(False, 3), (True, 1)])
def test_work_is_given_back_when_the_database_answers_again(told_to_stop: bool, calls: int) -> None:
    """Otherwise an outage was counted as a worker's death, and after nine of them no worker planned the job."""
    shutdown, made = NoPause(), []
    if told_to_stop:
        shutdown.set()

    def call() -> None:
        made.append(None)
        if len(made) < 3:
            raise Transient("the database is restarting")

    keeper(Ledger(), shutdown=shutdown).hand_back(call)
    assert len(made) == calls


def test_an_error_that_nobody_foresaw_does_not_end_the_renewals() -> None:
    """The thread ended without a word: the lease ran out, and the image in flight was suspected of a death."""
    ledger = Ledger()
    ledger.error = TypeError("Object of type int64 is not JSON serializable")
    with keeper(ledger) as lease:
        ledger.wait(3)
        lease.check_held()
        with pytest.raises(TypeError, match="int64"):  # the worker's own thread hears of it
            lease.renew()
        ledger.error = None
        ledger.wait(3)
        lease.check_held()


def test_a_lease_that_cannot_be_renewed_is_given_up_when_it_has_run_out() -> None:
    ledger = Ledger()
    ledger.error = TypeError("Object of type int64 is not JSON serializable")
    with keeper(ledger, lease_s=0.05) as lease:
        assert lease.lost.wait(LONG_S)

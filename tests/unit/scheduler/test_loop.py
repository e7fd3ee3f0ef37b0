"""The loop of ticks: its pauses, its end, and the observation of time during a slow tick."""

import signal
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gfi.store.errors import StoreError, Transient
from gfi.store.settings import Settings
from scheduler import loop

LONG_S = 60.0
SETTINGS = Settings(database_url="sqlite:///unused.db", redis_url="redis://unused", s3_bucket="unused")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Callable[[], None]], None]], None]:
    """Runs the loop with a tick that receives the event that ends the loop, as SIGTERM does."""
    handlers: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    database = SimpleNamespace(safe_url="unused", dispose=lambda: None)
    monkeypatch.setattr(loop, "Database", lambda url: database)
    monkeypatch.setattr(loop, "check", lambda _: None)
    monkeypatch.setattr(loop, "make_celery", lambda *_: None)
    monkeypatch.setattr(loop.ledger, "observe_time", lambda _: None)
    monkeypatch.setattr(loop, "fire_due", lambda *_: [])

    def run(tick: Callable[[Callable[[], None]], None]) -> None:
        def end() -> None:
            handlers[signal.SIGTERM](signal.SIGTERM, None)

        monkeypatch.setattr(loop, "Scheduler", lambda *_: SimpleNamespace(tick=lambda: tick(end)))
        loop.run(SETTINGS, pause_s=0.0)

    return run


def test_it_ticks_until_it_is_told_to_end(run: Callable[..., None]) -> None:
    ticks: list[int] = []

    def tick(end: Callable[[], None]) -> None:
        ticks.append(len(ticks))
        if len(ticks) == 3:
            end()

    run(tick)
    assert ticks == [0, 1, 2]


def test_tables_of_an_earlier_version_are_waited_for(run: Callable[..., None], monkeypatch: Any) -> None:
    monkeypatch.setattr(loop, "AWAY_PAUSE_S", 0.0)
    answers = [StoreError("run: gfi db upgrade"), StoreError("run: gfi db upgrade"), None]

    def check(_: object) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(loop, "check", check)
    run(lambda end: end())
    assert not answers


def test_a_database_that_is_away_is_waited_for(run: Callable[..., None], monkeypatch: Any) -> None:
    monkeypatch.setattr(loop, "AWAY_PAUSE_S", 0.0)
    ticks: list[int] = []

    def tick(end: Callable[[], None]) -> None:
        ticks.append(len(ticks))
        if len(ticks) == 2:
            end()
            return
        raise Transient("restarting")

    run(tick)
    assert ticks == [0, 1]


def test_while_a_tick_is_slow_time_is_observed_so_that_leases_run_out(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick of 12 s was mistaken for an outage, during which no lease expires, so no lease ever expired."""
    observed = threading.Semaphore(0)
    failures = iter([Transient("restarting")])

    def observe_time(_: object) -> None:
        observed.release()
        for failure in failures:
            raise failure

    monkeypatch.setattr(loop, "OBSERVE_S", 0.001)
    monkeypatch.setattr(loop.ledger, "observe_time", observe_time)

    def tick(end: Callable[[], None]) -> None:
        for _ in range(3):
            assert observed.acquire(timeout=LONG_S), "nobody observed the time during a tick"
        end()

    run(tick)


def test_a_schedule_whose_store_does_not_answer_holds_up_no_tick(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening its dataset takes half a minute then, in which no lease ran out and no hint was published."""
    entered, answered = threading.Event(), threading.Event()
    ticks: list[int] = []

    def fire_due(*_: object) -> list[str]:
        entered.set()
        assert answered.wait(LONG_S)
        return []

    def tick(end: Callable[[], None]) -> None:
        assert entered.wait(LONG_S), "no schedule was fired"
        ticks.append(len(ticks))
        if len(ticks) == 3:
            answered.set()
            end()

    monkeypatch.setattr(loop, "fire_due", fire_due)
    run(tick)
    assert ticks == [0, 1, 2]


def test_firing_goes_on_after_an_error(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "AWAY_PAUSE_S", 0.0)
    errors = iter([Transient("restarting"), KeyError("a bug")])
    fired = threading.Event()

    def fire_due(*_: object) -> list[str]:
        for error in errors:
            raise error
        fired.set()
        return []

    def tick(end: Callable[[], None]) -> None:
        assert fired.wait(LONG_S), "the thread ended"
        end()

    monkeypatch.setattr(loop, "fire_due", fire_due)
    run(tick)

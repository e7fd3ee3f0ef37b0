"""When schedules fire: in a time zone, through changes of the clocks, short months, leap days and outages."""

from datetime import UTC, datetime

import pytest

from gfi.jobs.timing import Timing, name_of

FAR = 10**6


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def names(instants: list[float]) -> list[str]:
    return [name_of(instant)[:16] for instant in instants]


def last(cron: str, zone: str, since: str, now: str) -> list[str]:
    return names(Timing(cron, zone).due(at(since), at(now), 1)[0])


def test_an_instant_is_due_from_its_very_second_on() -> None:
    assert last("0 2 * * *", "UTC", "2026-02-28T03:00:00", "2026-03-01T01:59:59") == []
    assert last("0 2 * * *", "UTC", "2026-02-28T03:00:00", "2026-03-01T02:00:00") == ["2026-03-01T02:00"]


def test_the_next_instants_are_later_than_now_and_in_utc() -> None:
    berlin = Timing("0 2 * * *", "Europe/Berlin")
    assert names(berlin.next_firings(at("2026-03-01T00:00:00"), 2)) == [
        "2026-03-01T01:00",
        "2026-03-02T01:00",
    ]
    assert berlin.next_due(at("2026-03-01T01:00:00")) == at("2026-03-02T01:00:00")


@pytest.mark.parametrize("day", ["2026-10-25", "2026-03-29", "2026-07-01"])
def test_a_night_with_two_half_past_twos_or_none_fires_once(day: str) -> None:
    due, number = Timing("30 2 * * *", "Europe/Berlin").due(
        at(f"{day}T00:00:00") - 7200, at(f"{day}T22:00:00"), FAR
    )
    assert number == len(due) == 1


def test_the_31st_and_the_leap_day_fire_only_when_there_is_one() -> None:
    year = at("2027-01-01T00:00:00"), at("2028-12-31T00:00:00")
    assert len(Timing("0 0 31 * *", "UTC").due(*year, FAR)[0]) == 14
    assert names(Timing("0 0 29 2 *", "UTC").due(*year, FAR)[0]) == ["2028-02-29T00:00"]


def test_after_a_week_or_a_year_away_the_latest_missed_instants_are_found() -> None:
    now = at("2026-03-08T12:34:00")
    assert names(Timing("*/10 * * * *", "UTC").due(at("2026-03-01T00:00:00"), now, 2)[0]) == [
        "2026-03-08T12:20",
        "2026-03-08T12:30",
    ]
    assert last("0 0 1 * *", "UTC", "2025-01-15T00:00:00", "2026-03-08T12:34:00") == ["2026-03-01T00:00"]
    assert last("0 0 1 1 *", "UTC", "2025-06-15T00:00:00", "2026-03-08T12:34:00") == ["2026-01-01T00:00"]
    assert last("* * * * *", "UTC", "2025-01-15T00:00:00", "2026-03-08T12:34:00") == ["2026-03-08T12:34"]


def test_an_interval_counts_from_its_start_also_over_a_change_of_the_clocks() -> None:
    timing = Timing("", "Europe/Berlin", 3600.0, at("2026-10-24T20:10:00"))
    due, number = timing.due(at("2026-10-24T20:10:00"), at("2026-10-25T02:15:00"), 2)
    assert (names(due), number) == (["2026-10-25T01:10", "2026-10-25T02:10"], 6)
    assert timing.next_due(due[-1]) == due[-1] + 3600.0


def test_a_third_of_a_second_does_not_fire_an_interval_twice() -> None:
    timing = Timing("", "UTC", 90.0, 1_700_000_000.123457)
    instant, fired = 1_700_000_000.123457, []
    for _ in range(1000):
        instant = timing.next_due(instant) or 0.0
        fired.append(name_of(instant))
    assert len(set(fired)) == 1000

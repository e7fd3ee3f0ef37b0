"""When a cron line is due: in a time zone, through changes of the clocks and outages."""

from datetime import UTC, datetime, timedelta

import pytest

from gfi.jobs.cron import check, last_due, next_due

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_instant_is_due_from_its_very_second_on() -> None:
    assert last_due("0 2 * * *", "UTC", LONG_AGO, at("2026-03-01T01:59:59")) == at("2026-02-28T02:00:00")
    assert last_due("0 2 * * *", "UTC", LONG_AGO, at("2026-03-01T02:00:00")) == at("2026-03-01T02:00:00")


def test_the_next_instant_is_later_than_now_and_in_utc() -> None:
    assert next_due("0 2 * * *", "UTC", at("2026-03-01T02:00:00")) == at("2026-03-02T02:00:00")
    assert next_due("0 2 * * *", "Europe/Berlin", at("2026-03-01T00:00:00")) == at("2026-03-01T01:00:00")


def test_nothing_is_due_that_came_before_the_schedule() -> None:
    created = at("2026-03-01T02:00:01")
    assert last_due("0 2 * * *", "UTC", created, created + timedelta(hours=3)) is None


def test_after_an_outage_the_latest_missed_instant_alone_is_due() -> None:
    assert last_due("*/10 * * * *", "UTC", LONG_AGO, at("2026-03-01T12:34:00")) == at("2026-03-01T12:30:00")


@pytest.mark.parametrize("day", ["2026-10-25", "2026-03-29", "2026-07-01"])
def test_a_night_with_two_half_past_twos_or_none_fires_once(day: str) -> None:
    minutes = [
        at(f"{day}T00:00:00") - timedelta(hours=3) + timedelta(minutes=minute) for minute in range(24 * 60)
    ]
    due = {last_due("30 2 * * *", "Europe/Berlin", minutes[0], minute) for minute in minutes} - {None}
    assert len(due) == 1


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("0 2 * *", "UTC", "not a cron line"),
        ("0 2 * * *", "Mars", "not a time zone"),
        ("0 0 31 2 *", "UTC", "for example"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_advice(cron: str, zone: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(cron, zone)

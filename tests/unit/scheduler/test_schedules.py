"""When a schedule is due: cron lines in a time zone, through changes of the clocks and outages."""

from datetime import UTC, datetime, timedelta

import pytest

from gfi.jobs.sharding import shard_bounds, shard_size
from scheduler.schedules import last_due

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_instant_is_due_from_its_very_second_on() -> None:
    assert last_due("0 2 * * *", "UTC", LONG_AGO, at("2026-03-01T01:59:59")) == at("2026-02-28T02:00:00")
    assert last_due("0 2 * * *", "UTC", LONG_AGO, at("2026-03-01T02:00:00")) == at("2026-03-01T02:00:00")


def test_nothing_is_due_that_came_before_the_schedule() -> None:
    created = at("2026-03-01T02:00:01")
    assert last_due("0 2 * * *", "UTC", created, created + timedelta(hours=3)) is None


def test_after_an_outage_the_latest_missed_instant_alone_is_due() -> None:
    assert last_due("*/10 * * * *", "UTC", LONG_AGO, at("2026-03-01T12:34:00")) == at("2026-03-01T12:30:00")


@pytest.mark.parametrize(("day", "instants"), [("2026-10-25", 1), ("2026-03-29", 1), ("2026-07-01", 1)])
def test_a_night_with_two_half_past_twos_or_none_fires_once(day: str, instants: int) -> None:
    minutes = [
        at(f"{day}T00:00:00") - timedelta(hours=3) + timedelta(minutes=each) for each in range(24 * 60)
    ]
    due = {last_due("30 2 * * *", "Europe/Berlin", minutes[0], minute) for minute in minutes} - {None}
    assert len(due) == instants


def test_shards_cover_every_row_once_and_are_whole_batches() -> None:
    assert list(shard_bounds(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert shard_size(1000, None, 60, 8) == 64
    assert shard_size(1000, 1.0, 60, 8) == 64
    assert shard_size(1000, 0.01, 60, 8) == 8
    assert shard_size(1000, 1e6, 60, 8) == 4096


def test_a_job_of_ten_million_slow_images_is_not_cut_into_more_shards_than_the_ledger_is_measured_with() -> (
    None
):
    for batch in (1, 8):
        size = shard_size(10_000_000, 0.01, 60, batch)
        assert size % batch == 0
        assert 150_000 < 10_000_000 / size <= 200_000

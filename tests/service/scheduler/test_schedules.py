"""Schedules become jobs, once each, on real databases and without torch."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from gfi import samples
from gfi.jobs import cron, schedules
from gfi.jobs.submit import Invalid, JobRequest
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.settings import Settings
from gfi.store.tables import firings
from gfi.store.tables import schedules as schedules_table
from scheduler.schedules import fire_due, spec_for_firing

REQUEST = JobRequest(dataset=str(samples.path()), model="net")


def age(database: Database, seconds: float) -> None:
    """Make every schedule older, so that an instant of it has passed and it is due."""
    with database.begin() as connection:
        columns = ("created_at", "next_due")
        older = {name: schedules_table.c[name] - seconds for name in columns}
        connection.execute(sa.update(schedules_table).values(older))


def test_a_schedule_fires_once_with_two_schedulers_running(registered: Database) -> None:
    settings = Settings()
    schedules.add_schedule(registered, settings, "every minute", "* * * * *", "UTC", REQUEST, actor="test")
    age(registered, 90)
    start, fired = threading.Barrier(2), []

    def tick() -> None:
        start.wait()
        for _ in range(3):
            fired.extend(fire_due(registered, settings))

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A new minute may begin between two ticks: each instant has one job.
    assert 1 <= len(fired) <= 2
    assert len(queries.list_jobs(registered)) == len(fired)


def test_a_schedule_that_is_not_due_costs_a_tick_nothing(
    registered: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 schedules of every minute made a tick take 12 s: two days of instants were computed for each, every time."""
    for number in range(3):
        schedules.add_schedule(registered, Settings(), f"{number}", "* * * * *", "UTC", REQUEST, actor="test")
    age(registered, 90)
    assert len(fire_due(registered, Settings())) == 3
    computed: list[str] = []
    monkeypatch.setattr(cron, "_instants", lambda *line: computed.append(line[0]) or iter(()))
    hour_later = sa.update(schedules_table).values(next_due=schedules_table.c.next_due + 3600.0)
    with registered.begin() as connection:  # so that the test does not depend on the minute that turns
        connection.execute(hour_later)
    assert fire_due(registered, Settings()) == []
    assert not computed


def test_after_an_outage_the_latest_missed_instant_fires_and_no_other(registered: Database) -> None:
    schedules.add_schedule(registered, Settings(), "hourly", "0 * * * *", "UTC", REQUEST, actor="test")
    age(registered, 5 * 3600.0)
    before = registered.now()
    (job,) = fire_due(registered, Settings())
    assert fire_due(registered, Settings()) == []
    (row,) = queries.list_schedules(registered)
    assert before < row["next_due"] <= before + 3601.0
    with registered.read() as connection:
        (firing,) = connection.execute(sa.select(firings)).all()
    assert firing.job_id == job
    assert datetime.fromisoformat(firing.firing_key).timestamp() == row["next_due"] - 3600.0


def test_a_schedule_stored_by_an_earlier_version_fires_what_it_missed_once(registered: Database) -> None:
    schedules.add_schedule(registered, Settings(), "hourly", "0 * * * *", "UTC", REQUEST, actor="test")
    age(registered, 5 * 3600.0)
    with registered.begin() as connection:
        connection.execute(sa.update(schedules_table).values(next_due=0.0))
    assert len(fire_due(registered, Settings())) == 1
    assert fire_due(registered, Settings()) == []


def test_a_schedule_whose_zone_is_unknown_on_this_machine_does_not_stop_the_others(
    registered: Database,
) -> None:
    for name in ("first", "lost", "last"):
        schedules.add_schedule(registered, Settings(), name, "* * * * *", "UTC", REQUEST, actor="test")
    age(registered, 90)
    with registered.begin() as connection:
        lost = sa.update(schedules_table).where(schedules_table.c.name == "lost")
        connection.execute(lost.values(zone="Mars/Olympus"))
    assert len(fire_due(registered, Settings())) == 2


def test_a_firing_that_is_refused_is_kept_and_not_repeated(registered: Database, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(next(samples.path().glob("*.jpg")).read_bytes())
    request = REQUEST.model_copy(update={"dataset": str(folder)})
    schedules.add_schedule(registered, Settings(), "gone", "0 0 1 1 *", "UTC", request, actor="test")
    age(registered, 0)
    (folder / "one.jpg").unlink()
    folder.rmdir()
    row = queries.list_schedules(registered)[0]
    spec = spec_for_firing(registered, Settings(), row, datetime.now(UTC))
    assert isinstance(spec, Invalid)
    with pytest.raises(Invalid):
        ledger.fire(registered, row["id"], "2026-01-01", spec, next_due=None)
    assert ledger.fire(registered, row["id"], "2026-01-01", spec, next_due=None) is None
    assert queries.list_jobs(registered) == []

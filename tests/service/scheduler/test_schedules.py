"""Schedules become jobs, once each, on real databases and without torch."""

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gfi import samples
from gfi.datasets.errors import Unavailable
from gfi.jobs import cron, schedules
from gfi.jobs.schedules import spec_for_firing
from gfi.jobs.submit import Invalid, JobRequest
from gfi.jobs.timing import name_of
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Transient
from gfi.store.settings import Settings
from gfi.store.tables import firings
from gfi.store.tables import jobs as jobs_table
from gfi.store.tables import schedules as schedules_table
from scheduler.schedules import fire_due
from tests.service.model_record import RECORD

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
    monkeypatch.setattr(cron, "instants", lambda *line: computed.append(line[0]) or iter(()))
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
    spec = spec_for_firing(registered, Settings(), row, registered.now())
    assert isinstance(spec, Invalid)
    fired = ledger.fire(registered, row["id"], "2026-01-01", spec, next_due=None)
    assert fired is not None
    assert "gone" in str(fired.reason) or "no" in str(fired.reason)
    assert ledger.fire(registered, row["id"], "2026-01-01", spec, next_due=None) is None
    assert queries.list_jobs(registered) == []


def job_states(database: Database) -> list[str]:
    return [job.state.value for job in queries.list_jobs(database)]


@pytest.mark.parametrize(("misfire", "jobs"), [("latest", 1), ("skip", 0), ("all", 3)])
def test_after_a_week_away_firings_are_made_up_for_as_the_schedule_says(
    registered: Database, misfire: str, jobs: int
) -> None:
    schedules.add_schedule(
        *(registered, Settings(), "hourly", None, "UTC", REQUEST),
        **{"every": "1h", "misfire": misfire, "misfire_most": 3, "overlap": "queue", "actor": "test"},
    )
    age(registered, 7 * 86_400.0 + 1800.0)
    fire_due(registered, Settings())
    assert fire_due(registered, Settings()) == []
    rows = schedules.firings_of(registered, "hourly")
    assert len(rows) == max(1, jobs)
    assert len(job_states(registered)) == min(1, jobs)
    assert sum(row["waiting"] for row in rows) == max(0, jobs - 1)
    if misfire == "skip":
        assert "missed" in rows[0]["error"]
    for _ in range(3):
        for job in queries.list_jobs(registered):
            if not job.ended:
                ledger.cancel_job(registered, job.id)
        fire_due(registered, Settings())
    assert len(job_states(registered)) == jobs


def test_a_clock_that_is_set_back_fires_nothing_again(registered: Database) -> None:
    schedules.add_schedule(
        *(registered, Settings(), "m", "* * * * *", "UTC", REQUEST), overlap="queue", actor="test"
    )
    age(registered, 90)
    assert len(fire_due(registered, Settings())) == 1
    with registered.begin() as connection:  # the stored instant is due again, as seen by a clock of before
        earlier = sa.update(schedules_table).values(next_due=schedules_table.c.next_due - 60.0)
        connection.execute(earlier)
    fire_due(registered, Settings())
    with registered.read() as connection:
        keys = connection.execute(sa.select(firings.c.firing_key)).scalars().all()
    assert len(keys) == len(set(keys)) <= 2


def test_a_schedule_is_paused_edited_resumed_and_run_now(registered: Database) -> None:
    settings = Settings()
    schedules.add_schedule(registered, settings, "m", "* * * * *", "UTC", REQUEST, actor="test")
    change = {"database": registered, "settings": settings, "name": "m", "actor": "test"}
    assert schedules.change_schedule(**change, paused=True).upcoming == ()
    age(registered, 600)
    assert fire_due(registered, settings) == []
    resumed = schedules.change_schedule(**change, paused=False)
    assert len(resumed.upcoming) == 5
    assert fire_due(registered, settings) == []
    edited = schedules.change_schedule(**change, every="6h", overlap="cancel")
    assert (edited.cron, edited.every_s, edited.overlap) == ("", 21_600.0, "cancel")
    run = schedules.run_now(registered, settings, "m", actor="test")
    assert [job.id for job in queries.list_jobs(registered)] == [run["job"]]
    with pytest.raises(Invalid, match="either a cron line or an interval"):
        schedules.change_schedule(**change, every="6h", cron="* * * * *")


def test_jobs_are_since_the_last_finished_one_of_their_schedule(registered: Database) -> None:
    settings = Settings()
    schedules.add_schedule(registered, settings, "m", None, "UTC", REQUEST, every="6h", actor="test")
    first = schedules.run_now(registered, settings, "m", actor="test")["job"]
    assert queries.get_job(registered, first).since is None
    with registered.begin() as connection:
        connection.execute(sa.update(jobs_table).values(state="succeeded"))
    second = schedules.run_now(registered, settings, "m", actor="test")["job"]
    since = queries.get_job(registered, second).since
    assert since is not None
    assert since["job"] == first
    refused = schedules.run_now(registered, settings, "m", actor="test")
    assert refused["job"] is None
    assert second in refused["reason"]


def test_on_model_a_job_is_submitted_only_for_other_weights(registered: Database) -> None:
    settings = Settings()
    schedules.add_schedule(
        *(registered, settings, "m", None, "UTC", REQUEST),
        **{"every": "6h", "trigger": "model", "overlap": "queue", "actor": "test"},
    )
    first = schedules.run_now(registered, settings, "m", actor="test")["job"]
    ledger.cancel_job(registered, first)
    assert f"those of job {first}" in schedules.run_now(registered, settings, "m", actor="test")["reason"]
    record = {**RECORD, "digest": "e" * 64}
    ledger.save_model(registered, "net", "e" * 64, record, actor="test")
    assert schedules.run_now(registered, settings, "m", actor="test")["job"] is not None


def _stored(database: Database, name: str, **columns: object) -> None:
    """Change a schedule as no caller may."""
    with database.begin() as connection:
        mine = sa.update(schedules_table).where(schedules_table.c.name == name)
        connection.execute(mine.values(**columns))


@pytest.mark.parametrize(
    "columns",
    [{"zone": "Mars/Olympus"}, {"request": {"dataset": 5}}, {"request": {"model": "net", "hue": 1}}],
)
def test_a_schedule_that_cannot_be_read_is_held_and_the_others_fire(
    registered: Database, columns: dict[str, object]
) -> None:
    """An interval has no zone to compute with, so a zone that is unknown here was met only when its job was named; the
    error ended the round of every schedule behind it, at every tick."""
    for name in ("first", "lost", "last"):
        schedules.add_schedule(
            *(registered, Settings(), name, None, "UTC", REQUEST), every="10s", actor="test"
        )
    age(registered, 11)
    _stored(registered, "lost", **columns)
    assert len(fire_due(registered, Settings())) == 2
    (firing,) = schedules.firings_of(registered, "lost")
    assert firing["job_id"] is None
    assert any(word in firing["error"] for word in ("Mars/Olympus", "dataset", "hue"))


def test_a_row_that_nothing_can_read_holds_up_no_other(
    registered: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "lost", "last"):
        schedules.add_schedule(registered, Settings(), name, "* * * * *", "UTC", REQUEST, actor="test")
    age(registered, 90)
    monkeypatch.setattr("scheduler.schedules.spec_for_firing", _breaks_for("lost"))
    assert len(fire_due(registered, Settings())) == 2


def _breaks_for(name: str) -> Any:
    def spec(database: Database, settings: Settings, row: Any, due: float) -> Any:
        if row["name"] == name:
            raise KeyError("a bug")
        return spec_for_firing(database, settings, row, due)

    return spec


def test_a_schedule_whose_store_is_away_waits_for_it_and_holds_up_no_other(
    registered: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unavailable is Transient, as the database's outage is: it ended the whole tick, leases and hints included."""
    for name in ("first", "away", "last"):
        schedules.add_schedule(registered, Settings(), name, "* * * * *", "UTC", REQUEST, actor="test")
    age(registered, 90)
    away, asked = [True], []

    def spec(database: Database, settings: Settings, row: Any, due: float) -> Any:
        asked.append(row["name"])
        if row["name"] == "away" and away:
            raise Unavailable("cannot read s3://photographs now")
        return spec_for_firing(database, settings, row, due)

    monkeypatch.setattr("scheduler.schedules.spec_for_firing", spec)
    waits: dict[str, float] = {}
    assert len(fire_due(registered, Settings(), waits)) == 2
    asked.clear()
    fire_due(registered, Settings(), waits)
    assert "away" not in asked, "each attempt may take half a minute"
    away.clear()
    assert schedules.firings_of(registered, "away") == []
    waits.clear()
    assert len(fire_due(registered, Settings(), waits)) == 1
    (firing,) = schedules.firings_of(registered, "away")
    assert firing["job_id"] is not None


def test_an_instant_that_waited_for_its_store_is_not_missed(
    registered: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `skip`, the try after a minute was too late for it."""
    schedules.add_schedule(
        *(registered, Settings(), "m", None, "UTC", REQUEST), every="1h", misfire="skip", actor="test"
    )
    age(registered, 3600.0 + 5.0)
    away = [True]

    def spec(database: Database, settings: Settings, row: Any, due: float) -> Any:
        if away:
            raise Unavailable("cannot read s3://photographs now")
        return spec_for_firing(database, settings, row, due)

    monkeypatch.setattr("scheduler.schedules.spec_for_firing", spec)
    waits: dict[str, float] = {}
    for _ in range(2):
        assert fire_due(registered, Settings(), waits) == []
        waits |= dict.fromkeys(waits, 0.0)
        age(registered, 65.0)
    away.clear()
    assert len(fire_due(registered, Settings(), waits)) == 1
    assert waits == {}
    for job in queries.list_jobs(registered):
        ledger.cancel_job(registered, job.id)
    age(registered, 3600.0 + 65.0)  # nothing fired this one in time, and it waited for nothing
    assert fire_due(registered, Settings(), waits) == []
    assert "missed" in schedules.firings_of(registered, "m")[0]["error"]


def test_a_scheduler_that_ends_between_two_missed_firings_loses_none(
    registered: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules.add_schedule(
        *(registered, Settings(), "all", "0 * * * *", "UTC", REQUEST),
        misfire="all",
        misfire_most=3,
        overlap="cancel",
        actor="test",
    )
    age(registered, 3 * 3600.0 + 60.0)
    seen: list[float] = []

    def spec(database: Database, settings: Settings, row: Any, due: float) -> Any:
        seen.append(due)
        if len(seen) == 2:
            raise Transient("the database restarts")
        return spec_for_firing(database, settings, row, due)

    monkeypatch.setattr("scheduler.schedules.spec_for_firing", spec)
    with pytest.raises(Transient):
        fire_due(registered, Settings())
    fire_due(registered, Settings())
    assert fire_due(registered, Settings()) == []
    keys = {firing["firing_key"] for firing in schedules.firings_of(registered, "all")}
    assert {name_of(due) for due in seen} == keys
    assert len(keys) == 3


def test_a_schedule_that_is_edited_while_it_fires_follows_its_new_line(
    registered: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instant after the firing was computed from the old line, and replaced that of the new one: a yearly schedule
    that was made hourly at this moment did not fire for a year."""
    schedules.add_schedule(registered, Settings(), "yearly", "0 0 1 1 *", "UTC", REQUEST, actor="test")
    long_ago = registered.now() - 370 * 86_400.0
    _stored(registered, "yearly", next_due=long_ago, created_at=long_ago)

    def edited_meanwhile(database: Database, settings: Settings, row: Any, due: float) -> Any:
        schedules.change_schedule(database, settings, "yearly", cron="0 * * * *", actor="ada")
        return spec_for_firing(database, settings, row, due)

    monkeypatch.setattr("scheduler.schedules.spec_for_firing", edited_meanwhile)
    fire_due(registered, Settings())
    (row,) = queries.list_schedules(registered)
    assert row["next_due"] <= registered.now() + 3601.0

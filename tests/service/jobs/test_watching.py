"""A schedule on data fires when the listing of its dataset has changed and settled."""

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from gfi.domain.states import ControlKind
from gfi.jobs import schedules
from gfi.jobs.submit import JobRequest
from gfi.jobs.watching import Seen, judged
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.settings import Settings
from gfi.store.tables import jobs
from gfi.store.tables import schedules as schedules_table
from scheduler import tasks
from scheduler.schedules import fire_due
from scheduler.services import ControlServices

LISTED = Settings(listing_mib=0)  # in this process


def test_a_listing_fires_once_it_has_stayed_the_same_and_never_twice() -> None:
    outcome, watched = judged(None, Seen("a", 9), 100.0, 60.0)
    assert outcome == "settling"
    outcome, watched = judged(watched, Seen("b", 10), 150.0, 60.0)  # an upload goes on
    assert outcome == "settling"
    assert judged(watched, Seen("b", 10), 209.0, 60.0)[0] == "settling"
    outcome, watched = judged(watched, Seen("b", 10), 210.0, 60.0)
    assert outcome == "fires"
    fired = watched | {"fired": "b"}
    assert judged(fired, Seen("b", 10), 900.0, 60.0)[0] == "unchanged"
    assert judged(fired, Seen("c", 11), 900.0, 0.0)[0] == "fires"


def test_a_shrunk_dataset_is_held_and_told_once() -> None:
    outcome, watched = judged({"fired": "a"}, Seen("b", 4, before=9), 100.0, 0.0)
    assert outcome == "held"
    assert judged(watched, Seen("b", 4, before=9), 200.0, 0.0)[0] == "waits"
    assert judged(watched, Seen("c", 3, before=9), 200.0, 0.0)[0] == "held"
    assert judged(watched, Seen("d", 5, before=9), 200.0, 0.0)[0] == "fires"


@pytest.mark.parametrize(
    ("seen", "settle", "outcome"),
    [("a", 60.0, "unchanged"), ("b", 60.0, "settling"), ("b", 0.0, "fires"), ("held", 0.0, "fires")],
)
def test_what_was_held_is_over_once_a_look_finds_otherwise(seen: str, settle: float, outcome: str) -> None:
    found, watched = judged({"fired": "a", "held": "held"}, Seen(seen, 9), 100.0, settle)
    assert (found, "held" in watched) == (outcome, False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def look(database: Database) -> str:
    """The schedule becomes due, a scheduler asks for a look, and a control worker does it."""
    with database.begin() as connection:
        earlier = schedules_table.c.created_at - 3600
        connection.execute(sa.update(schedules_table).values(created_at=earlier, next_due=earlier))
    assert fire_due(database, LISTED) == fire_due(database, LISTED) == []
    (task,) = queries.list_tasks(database, kind=ControlKind.LOOK, open_only=True)
    bucket: Any = None
    while True:  # the planning of an earlier job is not done here
        claim = ledger.claim_control(database, "worker", 60.0)
        assert claim is not None
        if claim.task_id == task.id:
            return tasks.perform(ControlServices(LISTED, database, bucket), claim, threading.Event())


def test_a_job_follows_each_change_of_a_folder(registered: Database, folder: Path) -> None:
    request = JobRequest(dataset=str(folder), model="net", owner="ada", webhook="https://hook.example/x")
    made = schedules.add_schedule(
        *(registered, LISTED, "m", None, "UTC", request),
        **{"every": "1m", "actor": "test", "trigger": "data", "settle": "0s"},
    )
    assert look(registered) == "fires"
    assert look(registered) == "unchanged"
    Image.new("RGB", (8, 8)).save(folder / "more.png")
    assert look(registered) == "waits"  # for the job that is active
    with registered.begin() as connection:
        connection.execute(sa.update(jobs).values(state="succeeded", total=4))
    assert look(registered) == "fires"
    with registered.begin() as connection:
        connection.execute(sa.update(jobs).values(state="succeeded", total=5))
    for name in ("0.png", "1.png", "2.png"):
        (folder / name).unlink()
    assert look(registered) == "held"
    assert look(registered) == "waits"
    held, *fired = schedules.firings_of(registered, "m")
    assert "2 images, fewer than half of the 5" in held["error"]
    assert [firing["job_id"] is not None for firing in fired] == [True, True]
    assert [m["kind"] for m in ledger.take_outbox(registered, 9, 0.0, "webhook")] == ["firing.held"]
    run = schedules.run_now(registered, LISTED, "m", allow_shrunk=True, actor="test")
    assert queries.get_job(registered, run["job"]).since == {
        **{"job": fired[0]["job_id"], "verify": 0.0, "allow_shrunk": True}
    }
    for path in folder.iterdir():
        path.unlink()
    assert look(registered) == "held"  # no image left: it cannot be listed
    assert schedules.find_schedule(registered, made.id).watched is not None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "gone"}, "is not registered"),
        ({"dataset": 5}, "dataset"),
        ({"most": 3}, "more than 3 images"),
    ],
)
def test_what_no_job_can_be_made_of_is_held_and_told_once(
    registered: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str
) -> None:
    """The look failed and nobody was told, or every look told it again."""
    request = JobRequest(dataset=str(folder), model="net", owner="ada", webhook="https://hook.example/x")
    schedules.add_schedule(
        *(registered, LISTED, "m", None, "UTC", request),
        **{"every": "1m", "actor": "test", "trigger": "data", "settle": "0s"},
    )
    if "most" in change:
        few = LISTED.model_copy(update={"max_images_per_job": change["most"]})
        monkeypatch.setattr("tests.service.jobs.test_watching.LISTED", few)
    else:
        with registered.begin() as connection:
            stored = request.model_dump(mode="json") | change
            connection.execute(sa.update(schedules_table).values(request=stored))
    assert look(registered) == "held"
    assert look(registered) == "waits"
    (held,) = schedules.firings_of(registered, "m")
    assert says in held["error"]
    assert len(ledger.take_outbox(registered, 9, 0.0, "webhook")) == 1
    with registered.begin() as connection:
        stored = request.model_dump(mode="json")
        connection.execute(sa.update(schedules_table).values(request=stored))
    monkeypatch.undo()
    assert look(registered) == "fires"


def test_an_outage_that_comes_again_is_told_again(registered: Database, folder: Path) -> None:
    request = JobRequest(dataset=str(folder), model="net", owner="ada", webhook="https://hook.example/x")
    schedules.add_schedule(
        *(registered, LISTED, "m", None, "UTC", request),
        **{"every": "1m", "actor": "test", "trigger": "data", "settle": "0s"},
    )
    assert look(registered) == "fires"
    away = folder.with_name("away")
    for _ in range(2):
        folder.rename(away)
        assert look(registered) == "held"
        assert look(registered) == "waits"
        away.rename(folder)
        assert look(registered) == "unchanged"
    assert len(ledger.take_outbox(registered, 9, 0.0, "webhook")) == 2

"""What follows a schedule's jobs begins once, when they have ended, and is shown with the firing."""

import threading

import pytest
import sqlalchemy as sa

from gfi import samples
from gfi.jobs import follow_ups, schedules
from gfi.jobs.submit import Invalid, JobRequest
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Missed, Unchanged
from gfi.store.settings import Settings
from gfi.store.tables import control_tasks, firings
from gfi.store.tables import jobs as jobs_table

REQUEST = JobRequest(dataset=str(samples.path()), model="net", owner="ada")


def add(database: Database, **options: object) -> schedules.Schedule:
    return schedules.add_schedule(
        *(database, Settings(), "m", None, "UTC", REQUEST), **{"every": "6h", "actor": "test", **options}
    )


def run(database: Database, state: str) -> str:
    """Fires the schedule, and ends its job in this state."""
    job = schedules.run_now(database, Settings(), "m", actor="test")["job"]
    assert follow_ups.follow(database) == []  # its job is not over
    with database.begin() as connection:
        mine = sa.update(jobs_table).where(jobs_table.c.id == job)
        connection.execute(mine.values(state=state, manifest_key="manifests/x.parquet"))
    return str(job)


def test_an_audit_follows_each_job_once_however_many_schedulers_look(registered: Database) -> None:
    assert add(registered, audit={"seed": 3}).follow_ups == {"audit": {"classes": [], "seed": 3}}
    job = run(registered, "succeeded")
    start, begun = threading.Barrier(2), []

    def look() -> None:
        start.wait()
        begun.extend(follow_ups.follow(registered))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (audit,) = queries.list_audits(registered, job)
    assert (audit.owner, audit.settings["seed"]) == ("ada", 3)
    assert begun == [{"schedule": "m", "job": job, "name": "audit", "audit": audit.id}]
    (firing,) = schedules.firings_of(registered, "m")
    assert firing["followed"] == {"audit": {"audit": audit.id, "state": "screening", "verdict": "screening"}}
    assert not firing["following"]


def test_what_cannot_follow_is_told_with_the_firing(registered: Database) -> None:
    add(registered, audit=True)
    run(registered, "failed")
    follow_ups.follow(registered)
    (firing,) = schedules.firings_of(registered, "m")
    assert firing["followed"] == {"audit": {"reason": "the job is failed; only results are audited"}}
    schedules.change_schedule(registered, Settings(), "m", actor="test", audit={"classes": ["unicorn"]})
    run(registered, "succeeded")
    follow_ups.follow(registered)
    latest, _ = schedules.firings_of(registered, "m")
    assert "the model has no class 'unicorn'" in latest["followed"]["audit"]["reason"]
    assert follow_ups.follow(registered) == []


def test_nothing_follows_the_jobs_submitted_before_it_was_asked_for_or_after_it_was_taken_back(
    registered: Database,
) -> None:
    add(registered)
    first = run(registered, "succeeded")
    schedules.change_schedule(registered, Settings(), "m", actor="test", audit=True)
    assert follow_ups.follow(registered) == []
    schedules.change_schedule(registered, Settings(), "m", actor="test", audit=False)
    second = run(registered, "succeeded")
    assert follow_ups.follow(registered) == []
    assert not queries.list_audits(registered, first) + queries.list_audits(registered, second)


GATE = "[audit]\nno_new_shortcuts = true\n"


def test_a_comparison_waits_for_the_audit_and_one_message_tells_both(registered: Database) -> None:
    request = REQUEST.model_copy(update={"webhook": "https://hook.example/x", "email": "a@mail.example"})
    schedules.add_schedule(
        *(registered, Settings(), "m", None, "UTC", request),
        **{"every": "6h", "actor": "test", "audit": True, "notify": True, "compare": {"gate": GATE}},
    )
    first = run(registered, "succeeded")
    assert [one["name"] for one in follow_ups.follow(registered)] == ["audit"]
    (audit,) = queries.list_audits(registered, first)
    ledger.cancel_task(registered, str(audit.task_id))
    assert [one["name"] for one in follow_ups.follow(registered)] == ["compare"]
    assert [one["name"] for one in follow_ups.follow(registered)] == ["notify"]
    told = ledger.take_outbox(registered, 9, 0.0, "email")
    assert [m["payload"]["verdict"] for m in told if m["kind"] == "job.followed"] == ["undecided"]
    assert "no earlier job with results" in " ".join(told[-1]["payload"]["sentences"])

    second = run(registered, "succeeded")
    follow_ups.follow(registered)
    ledger.cancel_task(registered, str(queries.list_audits(registered, second)[0].task_id))
    follow_ups.follow(registered)
    (task,) = queries.list_tasks(registered, kind="compare", job_id=second)
    assert (task.payload["a"], task.payload["b"], task.payload["gate"]) == (first, second, GATE)
    assert follow_ups.follow(registered) == []  # the comparison is not over
    result = {"verdict": "fail", "pairs": 9, "moved": 4, "sentences": ["fail: class husky"]}
    with registered.begin() as connection:
        mine = sa.update(control_tasks).where(control_tasks.c.id == task.id)
        connection.execute(mine.values(state="done", result=result))
    assert [one["messages"] for one in follow_ups.follow(registered)] == [2]
    latest, _ = schedules.firings_of(registered, "m")
    assert latest["followed"]["compare"]["verdict"] == "gate fail"
    (told,) = [m for m in ledger.take_outbox(registered, 9, 0.0, "webhook") if m["job_id"] == second]
    assert (told["payload"]["verdict"], told["payload"]["comparison"]) == ("fail", task.id)
    assert "fail: class husky" in told["payload"]["sentences"]


def test_a_firing_that_is_missed_or_held_is_told_to_the_addresses_of_its_schedule(
    registered: Database,
) -> None:
    request = REQUEST.model_copy(update={"webhook": "https://hook.example/x"})
    schedule = schedules.add_schedule(
        *(registered, Settings(), "m", None, "UTC", request), every="6h", actor="test"
    )
    for key, error in (("1", Missed("late")), ("2", Unchanged("same weights")), ("3", Invalid("gone"))):
        ledger.fire(registered, schedule.id, key, error)
    told = ledger.take_outbox(registered, 9, 0.0, "webhook")
    assert [(m["kind"], m["payload"]["reason"]) for m in told] == [
        ("firing.missed", "late"),
        ("firing.held", "gone"),
    ]
    address = queries.schedule_address_on(registered, told[0]["payload"]["schedule_id"], "webhook")
    assert address == "https://hook.example/x"


def test_gates_with_a_misspelt_key_and_unknown_verdicts_are_refused(registered: Database) -> None:
    with pytest.raises(Invalid, match="nearest is 'no_new_shortcuts'"):
        add(registered, compare={"gate": "[audit]\nno_new_shortcut = true"})
    with pytest.raises(Invalid, match="verdicts is a list of"):
        add(registered, notify={"verdicts": ["failed"]})


@pytest.mark.parametrize(
    ("audit", "says"),
    [
        ({"clases": []}, "a table with classes and seed"),
        ({"classes": "moon"}, "classes is a list of names"),
        ({"seed": -1}, "the seed is a whole number"),
    ],
)
def test_settings_that_no_follow_up_could_use_are_refused(
    registered: Database, audit: object, says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        add(registered, audit=audit)


def test_a_follow_up_that_this_version_cannot_read_ends_with_the_reason_and_holds_up_no_other(
    registered: Database,
) -> None:
    """The error ended the round of every job behind it, at every tick."""
    add(registered, audit=True)
    lost = run(registered, "succeeded")
    with registered.begin() as connection:
        mine = sa.update(firings).where(firings.c.job_id == lost)
        connection.execute(mine.values(follow_ups={"teleport": {}, "audit": {"seed": 3}}))
    kept = schedules.run_now(registered, Settings(), "m", actor="test")["job"]
    with registered.begin() as connection:
        ended = {"state": "succeeded", "manifest_key": "manifests/x.parquet"}
        connection.execute(sa.update(jobs_table).where(jobs_table.c.id == kept).values(**ended))
    assert [one["job"] for one in follow_ups.follow(registered) if "audit" in one] == [kept]
    _, firing = schedules.firings_of(registered, "m")
    assert not firing["following"]
    assert {name: outcome["reason"] for name, outcome in firing["followed"].items()} == {
        "teleport": "KeyError: 'teleport'",
        "audit": "KeyError: 'classes'",
    }

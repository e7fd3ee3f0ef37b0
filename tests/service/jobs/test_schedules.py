"""Schedules are checked when they are added, and listed with their next instant."""

import pytest

from gfi import samples
from gfi.api.schedules import ScheduleChange, _options
from gfi.jobs.schedules import add_schedule, change_schedule, list_schedules, remove_schedule
from gfi.jobs.submit import Invalid, JobRequest
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.settings import Settings
from tests.service.store.ledger_actors import plan

REQUEST = JobRequest(dataset=str(samples.path()), model="net")


def add(
    database: Database, name: str = "nightly", cron: str = "0 2 * * *", zone: str = "UTC", **changes: object
):
    request = REQUEST.model_copy(update=changes)
    return add_schedule(database, Settings(), name, cron, zone, request, actor="test")


def test_a_schedule_is_listed_with_the_instant_at_which_it_is_stored_to_be_due(registered: Database) -> None:
    added = add(registered)
    assert [schedule.name for schedule in list_schedules(registered)] == ["nightly"]
    (row,) = queries.list_schedules(registered)
    assert added.next_at == row["next_due"]
    assert registered.now() < row["next_due"] <= registered.now() + 86_400.0
    remove_schedule(registered, "nightly", actor="test")
    assert list_schedules(registered) == []
    with pytest.raises(NotFound):
        remove_schedule(registered, "nightly", actor="test")


def test_two_schedules_of_one_name_are_a_conflict(registered: Database) -> None:
    add(registered)
    with pytest.raises(Conflict):
        add(registered)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"name": ""}, "a name of 1 to 100 characters"),
        ({"cron": "0 2 * *"}, "not a cron line"),
        ({"zone": "Mars"}, "not a time zone"),
        ({"model": "nte"}, "near matches: net"),
    ],
)
def test_what_no_firing_could_use_is_refused(registered: Database, how: dict[str, str], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        add(registered, **how)
    assert list_schedules(registered) == []


def test_a_change_of_a_comparison_leaves_what_was_not_given(registered: Database) -> None:
    base, run, other = (plan(registered) for _ in range(3))
    wanted = {"with": base, "floor": [run], "gate": "[moved]\nmax_moved = 0.2", "gate_name": "release.toml"}
    added = add_schedule(
        *(registered, Settings(), "m", "0 2 * * *", "UTC", REQUEST), compare=wanted, actor="test"
    )
    assert added.follow_ups["compare"] == wanted

    def change(compare: object) -> object:
        changes = _options(ScheduleChange.model_validate({"compare": compare}))  # as the API reads it
        changed = change_schedule(registered, Settings(), "m", actor="test", **changes)
        return changed.follow_ups.get("compare")

    assert change({"floor": [other[:20]]}) == wanted | {"floor": [other]}
    assert change({"with": "previous"}) == wanted | {"with": "previous", "floor": [other]}
    gate = {"with": "previous", "floor": [other], "gate": "", "gate_name": "gate.toml"}
    assert change({"gate": ""}) == gate
    assert change({"gate": None}) == gate | {"gate": None}
    assert change(False) is None
    assert change({"gate": ""}) == {"with": "previous", "floor": [], "gate": "", "gate_name": "gate.toml"}

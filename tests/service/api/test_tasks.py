"""Tasks: listed, cancelled and retried by their owners."""

from gfi.domain.states import ControlKind
from gfi.store import ledger
from tests.service.api.conftest import World


def test_tasks_are_listed_newest_first_a_page_at_a_time(world: World) -> None:
    world.submit("submit")
    task, _ = ledger.request_task(world.database, ControlKind.REGISTER, {"reference": "a"}, owner="ada")
    page = world.call("GET", "/v1/tasks?limit=1", "read").json()
    assert [item["id"] for item in page["items"]] == [task]
    rest = world.call("GET", f"/v1/tasks?limit=5&after={page['next']}", "read").json()["items"]
    assert [(item["kind"], item["owner"], item["needs"]) for item in rest] == [
        ("plan", "submit-test", "none")
    ]
    assert world.call("GET", "/v1/tasks?kind=register&state=done", "read").json()["items"] == []
    assert len(world.call("GET", "/v1/tasks?owner=ada", "read").json()["items"]) == 1
    assert world.call("GET", "/v1/tasks/nothing", "read").status_code == 404


def test_only_its_owner_or_an_administrator_changes_a_task(one_world: World) -> None:
    task, _ = ledger.request_task(one_world.database, ControlKind.REGISTER, {"reference": "a"}, owner="ada")
    assert one_world.call("DELETE", f"/v1/tasks/{task}", "submit").status_code == 403
    assert one_world.call("POST", f"/v1/tasks/{task}/retry").status_code == 409
    assert one_world.call("DELETE", f"/v1/tasks/{task}").json()["state"] == "cancelled"
    assert one_world.call("POST", f"/v1/tasks/{task}/retry").json()["state"] == "pending"


def test_a_step_of_a_job_is_cancelled_with_its_job_alone(one_world: World) -> None:
    one_world.submit()
    (task,) = one_world.call("GET", "/v1/tasks").json()["items"]
    refused = one_world.call("DELETE", task["url"])
    assert refused.status_code == 409
    assert "cancel or retry the job" in refused.json()["detail"]

"""Schedules."""

from tests.service.api.conftest import World


def test_schedules_are_added_listed_and_removed(one_world: World) -> None:
    job = {"dataset": str(one_world.photographs), "model": "tiny"}
    body = {
        "name": "nightly",
        "cron": "30 2 * * *",
        "zone": "Europe/Berlin",
        "audit": {"seed": 2},
        "job": job,
    }
    made = one_world.call("POST", "/v1/schedules", "submit", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["next_at"] > one_world.database.now()
    assert made.json()["follow_ups"] == {"audit": {"classes": [], "seed": 2}}
    assert one_world.call("POST", "/v1/schedules", json=body).status_code == 409
    assert one_world.call("POST", "/v1/schedules", json=body | {"name": "x", "cron": "x"}).status_code == 422
    assert (
        one_world.call("POST", "/v1/schedules", json=body | {"name": "x", "zone": "Mars"}).status_code == 422
    )
    assert [schedule["name"] for schedule in one_world.call("GET", "/v1/schedules").json()] == ["nightly"]
    assert one_world.call("DELETE", "/v1/schedules/nightly", "submit").status_code == 204
    assert one_world.call("DELETE", "/v1/schedules/nightly").status_code == 404

"""Comparisons of two jobs."""

from tests.service.api.conftest import World


def test_two_jobs_are_compared_by_a_task(one_world: World) -> None:
    a, b = one_world.explained(name="a"), one_world.explained(name="b", target="coffee")
    body = {"a": a, "b": b}
    assert one_world.call("POST", "/v1/comparisons", "read", json=body).status_code == 403
    refused = one_world.call("POST", "/v1/comparisons", json=body | {"gate": "[movd]"})
    assert (refused.status_code, "nearest is 'moved'" in refused.json()["detail"]) == (422, True)
    assert one_world.call("POST", "/v1/comparisons", json=body | {"b": "nothing"}).status_code == 404
    asked = one_world.call("POST", "/v1/comparisons", "submit", json=body)
    assert asked.status_code == 202, asked.text
    made = asked.json()
    assert (made["a"], made["b"], made["state"], made["result"]) == (a, b, "pending", None)
    assert one_world.call("POST", "/v1/comparisons", json=body).json()["id"] == made["id"]
    listed = one_world.call("GET", f"/v1/comparisons?job={b}", "read").json()
    assert [one["id"] for one in listed] == [made["id"]]
    assert one_world.call("GET", f"/v1/comparisons/{made['id']}", "read").json()["url"] == made["url"]
    # Showing one model the masks of the other needs a worker; nothing is requested without one.
    refused = one_world.call("POST", "/v1/transfers", json=body)
    assert (refused.status_code, "no live worker" in refused.json()["detail"]) == (409, True)
    assert one_world.call("GET", f"/v1/transfers?job={b}", "read").json() == []
    assert one_world.call("GET", f"/v1/transfers/{made['id']}").status_code == 404
    report = next(
        one for one in one_world.call("GET", "/v1/tasks").json()["items"] if one["kind"] == "report"
    )
    assert one_world.call("GET", f"/v1/comparisons/{report['id']}").status_code == 404

"""Failures of a job, by class."""

from tests.service.api.conftest import World


def test_failures_are_listed_by_class_and_tried_again(world: World) -> None:
    job = world.explained(broken=2)
    failures = world.call("GET", f"/v1/jobs/{job}/failures").json()
    assert [(failure["error_class"], failure["images"]) for failure in failures] == [("unreadable", 2)]
    retried = world.call("POST", f"/v1/jobs/{job}/retry", json={"statuses": ["error"]})
    assert (retried.status_code, retried.json()["state"]) == (202, "planning")
    assert world.call("POST", f"/v1/jobs/{job}/retry", json={}).status_code == 409


def test_shards_are_listed_by_page_in_the_order_of_the_manifest(one_world: World) -> None:
    job = one_world.planned(total=10, size=4)
    assert one_world.explain_shard(broken=0)
    path = f"/v1/jobs/{job}/shards"
    first = one_world.call("GET", path, params={"limit": 2}).json()
    second = one_world.call("GET", path, params={"limit": 2, "after": first["next"]}).json()
    shards = first["items"] + second["items"]
    assert [(shard["start"], shard["stop"], shard["state"]) for shard in shards] == [
        (0, 4, "done"),
        (4, 8, "pending"),
        (8, 10, "pending"),
    ]
    assert second["next"] is None
    assert [shard["images"] for shard in shards] == [{"ok": 4}, {}, {}]

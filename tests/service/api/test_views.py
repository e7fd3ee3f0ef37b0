"""Saved views, and flags of many images."""

from tests.service.api.conftest import World


def test_views_are_saved_listed_replaced_and_deleted_by_their_owner(world: World) -> None:
    job = world.explained()
    path = f"/v1/jobs/{job}/views"
    body = {"name": "small masks", "query": "metric=area&at_most=0.2&sort=area&where=site%3DA"}
    assert world.call("POST", path, json=body).status_code == 201
    (view,) = world.call("GET", path, "read").json()
    assert (view["name"], view["query"], view["owner"]) == (*body.values(), "admin-test")
    refused = world.call("POST", path, "submit", json=body | {"query": "status=ok"})
    assert (refused.status_code, "admin-test saved this view" in refused.json()["detail"]) == (403, True)
    assert world.call("POST", path, json=body | {"query": "status=ok"}).json()["query"] == "status=ok"
    for query in ("sort=key", "where=colour%3Dred", "nothing"):
        assert world.call("POST", path, json=body | {"query": query}).status_code == 422
    assert world.call("POST", path, json={"name": "a/b", "query": ""}).status_code == 422
    assert world.call("DELETE", f"{path}/small masks").status_code == 204
    assert world.call("DELETE", f"{path}/small masks").status_code == 404
    assert world.call("POST", path, "read", json=body).status_code == 403


def test_many_images_are_flagged_at_once_and_the_change_is_undone(world: World) -> None:
    job = world.explained()
    world.call("PUT", f"/v1/jobs/{job}/results/1/flag", json={"flag": "good", "note": "kept"})

    def flag(scope: str = "admin", query: str = "", **body: object) -> dict:
        answer = world.call("POST", f"/v1/jobs/{job}/flags{query}", scope, json=body)
        assert answer.status_code == 200, answer.text
        found: dict = answer.json()
        return found

    def flags() -> dict:
        return {row["row"]: row["flag"] for row in world.call("GET", f"/v1/jobs/{job}/flags").json()}

    done = flag(flag="wrong", rows=[0, 1, 2, 999])
    assert (done["changed"], done["kept"]) == (3, 0)  # there is no image 999
    assert flags() == {0: "wrong", 1: "wrong", 2: "wrong"}
    for one in done["before"]:
        flag(flag=one["flag"], note=one["note"], rows=[one["row"]])
    assert flags() == {1: "good"}
    # All that match; another user's flag is kept.
    done = flag("submit", "?where=site%3DB", flag="look")
    assert (done["changed"], done["kept"]) == (4, 1)
    listed = world.call("GET", f"/v1/jobs/{job}/results", params={"flag": "look"}).json()["items"]
    assert [row["row"] for row in listed] == [3, 5, 7, 9]
    assert listed[0]["flag"]["owner"] == "submit-test"
    assert listed[0]["flag"]["at"] > 0
    assert world.call("GET", f"/v1/jobs/{job}/flags/counts").json() == [
        {"flag": "look", "images": 4},
        {"flag": "good", "images": 1},
    ]

"""Flags on images."""

from tests.service.api.conftest import World


def test_flags_are_kept_with_their_notes_and_exported(world: World) -> None:
    job = world.explained()
    put = world.call("PUT", f"/v1/jobs/{job}/results/3/flag", json={"flag": "wrong", "note": "=HYPERLINK(1)"})
    assert put.status_code == 204
    assert world.call("GET", f"/v1/jobs/{job}/flags").json()[0]["note"] == "=HYPERLINK(1)"
    exported = world.call("GET", f"/v1/jobs/{job}/flags", params={"format": "csv"}).text
    assert "'=HYPERLINK(1)" in exported  # quoted, so that no spreadsheet evaluates it
    flagged = world.call("GET", f"/v1/jobs/{job}/results", params={"flagged": True}).json()["items"]
    assert [row["row"] for row in flagged] == [3]
    assert world.call("PUT", f"/v1/jobs/{job}/results/999/flag", json={}).status_code == 404
    assert world.call("DELETE", f"/v1/jobs/{job}/results/3/flag").status_code == 204
    assert world.call("GET", f"/v1/jobs/{job}/flags").json() == []


def test_a_flag_is_changed_by_who_put_it_or_an_administrator(world: World) -> None:
    job = world.explained()
    path = f"/v1/jobs/{job}/results/2/flag"
    made = world.call("POST", "/v1/tokens", json={"name": f"ann-{job}", "scopes": ["submit"]}).json()
    ann = {"Authorization": f"Bearer {made['token']}"}
    assert world.client.put(path, json={"note": "hers"}, headers=ann).status_code == 204
    refused = world.call("PUT", path, "submit", json={"note": "mine"})
    assert refused.status_code == 403
    assert f"ann-{job} flagged this image" in refused.json()["detail"]
    assert world.call("DELETE", path, "submit").status_code == 403
    (flag,) = world.call("GET", f"/v1/jobs/{job}/flags").json()
    assert (flag["owner"], flag["note"]) == (f"ann-{job}", "hers")
    assert world.client.put(path, json={"note": "hers again"}, headers=ann).status_code == 204
    assert world.call("DELETE", path, "admin").status_code == 204
    assert world.call("PUT", path, "submit", json={"note": "mine"}).status_code == 204

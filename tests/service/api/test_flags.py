"""Flags on images."""

from tests.service.api.conftest import World


def test_flags_are_kept_with_their_notes_and_exported(world: World) -> None:
    job = world.explained()
    put = world.call("PUT", f"/v1/jobs/{job}/results/3/flag", json={"flag": "wrong", "note": "=HYPERLINK(1)"})
    assert put.status_code == 204
    assert world.call("GET", f"/v1/jobs/{job}/flags").json()[0]["note"] == "=HYPERLINK(1)"
    exported = world.call("GET", f"/v1/jobs/{job}/flags", params={"format": "csv"}).text
    assert "'=HYPERLINK(1)" in exported  # no spreadsheet runs it
    flagged = world.call("GET", f"/v1/jobs/{job}/results", params={"flagged": True}).json()["items"]
    assert [row["row"] for row in flagged] == [3]
    assert world.call("PUT", f"/v1/jobs/{job}/results/999/flag", json={}).status_code == 404
    assert world.call("DELETE", f"/v1/jobs/{job}/results/3/flag").status_code == 204
    assert world.call("GET", f"/v1/jobs/{job}/flags").json() == []

"""Bootstrap intervals by any column."""

import pytest

from gfi.jobs import intervals
from tests.service.api.conftest import World


def test_intervals_by_a_column_say_what_is_left_out(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = one_world.explained()
    answer = one_world.call("GET", f"/v1/jobs/{job}/intervals", "read", params={"by": "site"}).json()
    a, b = answer["groups"]
    assert (a["value"], a["images"], a["explained"], a["left_out"]) == ("A", 5, 5, {})
    assert (b["value"], b["images"], b["explained"], b["left_out"]) == ("B", 5, 4, {"error": 1})
    kept = a["numbers"]["kept"]
    assert kept["mean"] == pytest.approx(0.54)
    assert kept["low"] < kept["mean"] < kept["high"]
    assert (kept["images"], kept["missing"]) == (5, 0)
    assert "iou_box" not in a["numbers"]
    only = one_world.call(
        "GET", f"/v1/jobs/{job}/intervals", "read", params={"by": "status", "view": "status=ok"}
    )
    assert [group["value"] for group in only.json()["groups"]] == ["ok"]
    for wrong in ({"by": "camera"}, {"by": "site", "view": "colour=red"}):
        assert one_world.call("GET", f"/v1/jobs/{job}/intervals", "read", params=wrong).status_code == 422
    monkeypatch.setattr(intervals, "MOST_RESULTS", 3)
    assert (
        one_world.call("GET", f"/v1/jobs/{job}/intervals", "read", params={"by": "site"}).status_code == 413
    )

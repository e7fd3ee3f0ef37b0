"""Results by page, filter and order; several classes of an image."""

import json

import pytest

from tests.service.api.conftest import World


def test_results_are_paged_by_key_filtered_sorted_and_streamed(world: World) -> None:
    job = world.explained()
    base = f"/v1/jobs/{job}/results"
    total = len(world.names)

    def everything(**params: object) -> list[dict]:
        rows, after = [], None
        while True:
            page = world.call("GET", base, params={"limit": 3} | params | ({"after": after} if after else {}))
            assert page.status_code == 200, page.text
            rows += page.json()["items"]
            after = page.json()["next"]
            if after is None:
                return rows

    rows = everything()
    assert [row["row"] for row in rows] == list(range(total))
    assert rows[0]["target_name"] == "cat"
    assert [row["row"] for row in everything(sort="insertion", descending=True)][:3] == [
        total - 2,
        total - 3,
        total - 4,
    ]
    assert everything(sort="insertion")[-1]["status"] == "error"  # without a number: last
    assert [row["row"] for row in everything(status="error")] == [total - 1]
    assert all(row["prediction"] == 1 for row in everything(prediction=1))
    assert [row["row"] for row in everything(metric="area", at_least=0.05, at_most=0.09)] == [3, 4]
    lines = world.call("GET", base, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    parsed = [json.loads(line) for line in lines.text.splitlines()]
    assert parsed == rows
    assert world.call("GET", base, params={"format": "jsonl", "status": "ok"}).text.count("\n") == total - 1
    bad = world.call("GET", base, params={"after": "bm9uc2Vuc2U"})
    assert (bad.status_code, bad.json()["title"]) == (422, "Invalid request")


def test_each_class_of_an_image_has_a_result_and_a_mask(world: World) -> None:
    job = world.explained(top=2)
    assert world.call("GET", f"/v1/jobs/{job}").json()["progress"]["done"] == 10
    base = f"/v1/jobs/{job}/results"
    everything = world.call("GET", f"{base}?limit=100").json()["items"]
    assert [(one["row"], one["target_rank"]) for one in everything[:4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len(everything) == 2 * 9 + 1  # one could not be read
    second = world.call("GET", f"{base}?target_rank=1&limit=100").json()["items"]
    assert [one["target_rank"] for one in second] == [1] * 9
    masks = [world.call("GET", f"{base}/3/mask.npy?target_rank={rank}").content for rank in (0, 1)]
    assert masks[0] != masks[1]
    assert world.call("GET", f"{base}/3/mask.npy?target_rank=2").status_code == 404
    one = world.call("GET", f"{base}/3/mask.npy?target_rank=1")
    assert "3-1-mask.npy" in one.headers["content-disposition"]
    refused = world.submit(top=2, target="cat")
    assert refused.status_code == 422
    assert "leave target and rather_than out" in refused.text


def test_results_are_filtered_and_grouped_by_manifest_columns(one_world: World) -> None:
    job = one_world.explained()
    base = f"/v1/jobs/{job}"

    def rows(*where: str, **params: object) -> list[dict]:
        answer = one_world.call("GET", f"{base}/results", "read", params={"where": list(where)} | params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    assert rows("site=B")[0]["columns"] == {"site": "B", "age": 1.0}
    assert [row["row"] for row in rows("site=B", "age>=5")] == [5, 7, 9]
    assert [row["row"] for row in rows("site=B", status="error")] == [9]
    answer = one_world.call("GET", f"{base}/groups", params={"by": "site", "where": "age<7"})
    assert answer.json()["more"] is False
    groups = {group["value"]: group for group in answer.json()["groups"]}
    assert {value: group["images"] for value, group in groups.items()} == {"A": 4, "B": 3}
    assert groups["A"]["counts"] == {"ok": 4}
    assert groups["B"]["means"]["kept"] == {"mean": pytest.approx(0.53), "count": 3}
    by_class = one_world.call("GET", f"{base}/groups", params={"by": "prediction", "status": "ok"}).json()
    assert {group["value"]: group["images"] for group in by_class["groups"]} == {0: 3, 1: 3, 2: 3}
    for path, params, words in (
        ("results", {"where": "sit=A"}, "its columns are 'site' (text), 'age' (number)"),
        ("results", {"where": "age=old"}, "holds numbers"),
        ("groups", {"by": "nothing"}, "no column 'nothing'"),
        ("groups", {"by": "site", "where": "site"}, "not a condition"),
    ):
        refused = one_world.call("GET", f"{base}/{path}", params=params)
        assert refused.status_code == 422
        assert words in refused.json()["detail"], refused.text


def test_a_summary_has_histograms_and_a_job_its_class_table(world: World) -> None:
    job = world.explained()
    rows = world.call("GET", f"/v1/jobs/{job}/results?limit=100").json()["items"]
    ok = [row for row in rows if row["status"] == "ok"]
    summary = world.call("GET", f"/v1/jobs/{job}/summary").json()
    assert summary["counts"] == {"ok": len(ok), "error": len(rows) - len(ok)}
    areas = [row["area"] for row in ok]
    mean = sum(areas) / len(areas)
    assert summary["means"]["area"]["mean"] == pytest.approx(mean)
    assert summary["means"]["area"]["variance"] == pytest.approx(
        sum((a - mean) ** 2 for a in areas) / len(areas)
    )
    histogram = summary["histograms"]["area"]
    assert histogram["width"] == 0.02
    assert sum(images for _, images in histogram["bins"]) == len(ok)
    table = world.call("GET", f"/v1/jobs/{job}/classes", params={"limit": 1}).json()
    assert table["total"] == len({(r["label"], r["target"], r["prediction"], r["status"]) for r in rows})
    (first,) = table["classes"]
    alike = [r for r in rows if all(r[n] == first[n] for n in ("label", "target", "prediction", "status"))]
    assert first["images"] == len(alike)
    assert first["means"]["area"]["count"] == len(alike)

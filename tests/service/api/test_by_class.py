"""Classes, confusion, histograms; filters by label and prediction; images like one; on both databases."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from gfi.store import tables
from tests.service.api.conftest import World


def test_classes_confusion_and_histograms_agree_with_the_results(world: World) -> None:
    world = replace(world, labelled=True)
    job = world.explained(total=40)

    def get(path: str, **params: object) -> dict:
        answer = world.call("GET", f"/v1/jobs/{job}/{path}", params=params)
        assert answer.status_code == 200, answer.text
        found: dict = answer.json()
        return found

    rows = get("results", limit=100)["items"]
    classes = get("by-class")
    assert (
        sum(one["images"] for one in classes["classes"]) == 40 == get("results", limit=100)["items"].__len__()
    )
    assert classes["labelled"]
    assert get("labels")["labels"] == sorted({row["label"] for row in rows if row["label"]})
    cat = next(one for one in classes["classes"] if one["name"] == "cat")
    cats = [row for row in rows if row["label"] == "cat"]
    right = [row for row in cats if row["prediction_name"] == "cat"]
    assert (cat["images"], cat["accuracy"]["count"]) == (len(cats), len(cats))
    assert cat["accuracy"]["mean"] == pytest.approx(len(right) / len(cats))
    assert cat["means"]["area"]["low"] < cat["means"]["area"]["mean"] < cat["means"]["area"]["high"]

    pairs = get("confusion")
    wrong = {row["row"] for row in rows if row["label"] and row["label"] != row["prediction_name"]}
    assert pairs["wrong"] == len(wrong) == len(get("results", wrong=True, limit=100)["items"])
    assert pairs["right"] == len(get("results", wrong=False, limit=100)["items"])
    first = pairs["pairs"][0]
    assert first["right"] is False
    both = get("results", label=first["label"], prediction=first["prediction"], limit=100)["items"]
    assert len(both) == first["images"]

    whole = get("histogram", number="area")
    assert sum(images for _, images in whole["bins"]) == len([row for row in rows if row["area"] is not None])
    assert get("histogram", number="area", search="")["bins"] == whole["bins"]
    # Everything matches this search, so that the query counts what the sums have.
    read = get("histogram", number="area", at_least=-1, metric="area")
    assert read["bins"] == whole["bins"]
    assert read["mean"] == pytest.approx(whole["mean"])
    of_cats = get("histogram", number="area", label="cat")
    assert of_cats["mean"]["mean"] == pytest.approx(cat["means"]["area"]["mean"])
    assert of_cats["mean"]["low"] == pytest.approx(cat["means"]["area"]["low"])
    assert world.call("GET", f"/v1/jobs/{job}/histogram", params={"number": "row"}).status_code == 422

    some = get("results", rows=[3, 5], sort="area")["items"]
    assert sorted(row["row"] for row in some) == [3, 5]


def test_results_are_filtered_by_another_job_and_by_a_finding(world: World) -> None:
    one, other = world.explained(total=10), world.explained(total=10, name="other")
    results = f"/v1/jobs/{one}/results"
    assert world.call("GET", results, params={"differs_from": other}).json()["items"] == []
    with world.database.begin() as connection:
        mine = sa.and_(tables.results.c.job_id == other, tables.results.c.row.in_([2, 5]))
        connection.execute(sa.update(tables.results).where(mine).values(prediction=7))
    found = world.call("GET", results, params={"differs_from": other, "sort": "area"}).json()["items"]
    assert sorted(row["row"] for row in found) == [2, 5]
    assert world.call("GET", results, params={"differs_from": "none"}).status_code == 404
    audit = world.call("POST", f"/v1/jobs/{one}/audit", json={"dry_run": True}).json()["audit"]["id"]
    with world.database.begin() as connection:
        finding = {"audit_id": audit, "id": "f1", "position": 0, "class_name": "cat", "kind": "place"}
        words = dict.fromkeys(("verdict", "history", "sentence"), "")
        connection.execute(sa.insert(tables.findings).values(finding | words | {"record": {"rows": [1, 4]}}))
    found = world.call("GET", results, params={"finding": f"{audit}:f1"}).json()["items"]
    assert [row["row"] for row in found] == [1, 4]
    assert world.call("GET", results, params={"finding": f"{audit}:f2"}).status_code == 404
    elsewhere = world.call("GET", f"/v1/jobs/{other}/results", params={"finding": f"{audit}:f1"})
    assert elsewhere.status_code == 422


def test_a_thumbnail_needs_no_photograph(one_world: World) -> None:
    world = replace(one_world, labelled=True)
    job = world.explained()
    (world.photographs / world.names[0]).unlink()
    assert world.call("GET", f"/v1/jobs/{job}/results/0/photo.jpg").status_code == 404
    small = world.call("GET", f"/v1/jobs/{job}/results/0/thumbnail.jpg")
    assert (small.status_code, small.content[:2]) == (200, b"\xff\xd8")
    assert (
        one_world.call("GET", f"/v1/jobs/{one_world.explained()}/results/0/thumbnail.jpg").status_code == 404
    )


def test_images_like_one_are_found_by_mask_and_by_features(one_world: World) -> None:
    world = replace(one_world, labelled=True)
    job = world.explained(total=30)
    like = world.call("GET", f"/v1/jobs/{job}/results/2/similar", params={"limit": 5}).json()
    assert (like["compared"], like["of"], like["complete"]) == (27, 30, True)  # three images have no mask
    assert {one["result"]["row"] % 10 for one in like["images"][:2]} == {
        2
    }  # masks of rows 2, 12, 22 are equal
    assert like["images"][0]["similarity"] == pytest.approx(1.0, abs=1e-5)
    assert 2 not in [one["result"]["row"] for one in like["images"]]
    seen = world.call(
        "GET", f"/v1/jobs/{job}/results/2/similar", params={"by": "features", "limit": 2}
    ).json()
    assert {one["result"]["row"] % 7 for one in seen["images"]} == {2}
    broken = next(
        row["row"] for row in world.call("GET", f"/v1/jobs/{job}/results?status=error").json()["items"]
    )
    assert world.call("GET", f"/v1/jobs/{job}/results/{broken}/similar").status_code == 404


def test_the_spread_of_masks_is_drawn(one_world: World) -> None:
    job = one_world.explained()
    answer = one_world.call("GET", f"/v1/jobs/{job}/mean-mask.png", params={"of": "spread"})
    assert answer.status_code == 200
    assert answer.content[:4] == b"\x89PNG"
    (one, *_) = one_world.call("GET", f"/v1/jobs/{job}/mean-masks").json()["classes"]
    assert 0 < max(max(row) for row in one["spread"]) <= 0.5

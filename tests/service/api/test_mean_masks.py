"""The mean masks of a job: of all images and of its classes, without reading a part."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.service.api.conftest import World


def test_mean_masks_are_those_of_the_results(one_world: World) -> None:
    job = one_world.explained()
    base = f"/v1/jobs/{job}"
    rows = one_world.call("GET", f"{base}/results?limit=100").json()["items"]
    masked = [row for row in rows if row["status"] == "ok"]
    one_world.bucket.delete_many([o.key for o in one_world.bucket.list(f"parts/{job}/")])
    answer = one_world.call("GET", f"{base}/mean-masks", "read")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["job"]["images"], found["due"]) == (len(masked), 0)
    assert sum(one["images"] for one in found["classes"]) == len(masked)
    assert found["total"] == len(found["classes"])
    name = found["classes"][0]["class_name"]
    (alone,) = one_world.call("GET", f"{base}/mean-masks", params={"class": name}).json()["classes"]
    assert alone == found["classes"][0]
    assert np.shape(alone["mask"]) == (14, 14)
    of_classes = sum(one["images"] * np.array(one["mask"]) for one in found["classes"]) / len(masked)
    np.testing.assert_allclose(found["job"]["mask"], of_classes, atol=2e-4)


@pytest.mark.parametrize("which", [{}, {"class": "0"}])
def test_a_mean_mask_is_drawn(one_world: World, which: dict[str, str]) -> None:
    job = one_world.explained()
    drawn = one_world.call("GET", f"/v1/jobs/{job}/mean-mask.png", params={"size": 64} | which)
    assert drawn.status_code == 200, drawn.text
    assert Image.open(io.BytesIO(drawn.content)).size == (64, 64)


def test_what_has_no_mean_is_said(one_world: World) -> None:
    job = one_world.planned()
    assert one_world.call("GET", f"/v1/jobs/{job}/mean-masks").json()["job"] is None
    for params, words in (({}, "no image"), ({"class": "lynx"}, "'lynx'")):
        refused = one_world.call("GET", f"/v1/jobs/{job}/mean-mask.png", params=params)
        assert refused.status_code == 404
        assert words in refused.json()["detail"]

"""One explanation with its geometry and its provenance."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from gfi.datasets import manifest
from gfi.datasets.annotations.boxes import Box
from gfi.datasets.manifest import Entry
from tests.service.api.conftest import World


def test_one_explanation_says_what_made_it_and_draws_its_mask(one_world: World) -> None:
    job = one_world.explained()
    one = one_world.call("GET", f"/v1/jobs/{job}/results/2").json()
    assert one["made_by"]["model_digest"] == "0" * 64
    assert one["grid_size"] == [14, 14]
    assert one["input_size"] == [64, 64]
    assert (one["window"], one["repairs"]) == (None, [])
    noted = one_world.call("GET", f"/v1/jobs/{job}/results/1").json()
    assert noted["window"] == {"low": 0, "high": 1023, "source": "10 bits by the file"}
    assert noted["repairs"] == ["a box is cut at the photograph's edge"]
    with Image.open(one_world.photographs / one_world.names[2]) as photograph:
        width, height = photograph.size
    assert one["original_size"] == [height, width]
    stored = one_world.call("GET", f"/v1/jobs/{job}/results/2/mask.npy")
    mask = np.load(io.BytesIO(stored.content), allow_pickle=False)
    assert (mask.shape, mask.dtype) == ((64, 64), np.float32)
    picture = one_world.call("GET", f"/v1/jobs/{job}/results/2/mask.png", params={"size": 200})
    assert picture.headers["content-type"] == "image/png"
    drawn = Image.open(io.BytesIO(picture.content))
    assert max(drawn.size) == 200
    assert abs(drawn.width / drawn.height - width / height) < 0.02
    if width != height:  # transparent outside the part that the network saw
        assert drawn.mode == "LA"
        assert np.asarray(drawn)[0, 0, 1] == (0 if width > height else np.asarray(drawn)[0, 0, 1])
    for name in ("overlay.png", "photo.jpg"):
        answer = one_world.call("GET", f"/v1/jobs/{job}/results/2/{name}", params={"size": 96})
        assert answer.status_code == 200, answer.text
        assert max(Image.open(io.BytesIO(answer.content)).size) == 96
        again = one_world.call(
            "GET",
            f"/v1/jobs/{job}/results/2/{name}",
            params={"size": 96},
            headers={"If-None-Match": answer.headers["etag"]},
        )
        assert again.status_code == 304
    assert (
        one_world.call("GET", f"/v1/jobs/{job}/results/2/mask.png", params={"map": "jet"}).status_code == 200
    )
    broken = one_world.call("GET", f"/v1/jobs/{job}/results/{len(one_world.names) - 1}/mask.png")
    assert broken.status_code == 404
    assert "not a photograph" in broken.json()["detail"]


def test_the_boxes_of_an_image_are_those_of_the_listing_in_pixels(one_world: World, tmp_path: Path) -> None:
    job = one_world.explained()
    ask = lambda row: one_world.call("GET", f"/v1/jobs/{job}/results/{row}/boxes").json()  # noqa: E731
    assert "gone" in ask(2)["error"]
    box, outside = Box("cat", 0.5, 0.25, 1.0, 0.75, unit="fraction"), Box(None, 9000, 9000, 9100, 9100)
    rows = [
        Entry(0, "none", 1, "v"),
        Entry(1, "wrong", 1, "v", boxes_error="a side is no number"),
        Entry(2, "good", 1, "v", boxes=(box,)),
        Entry(3, "outside", 1, "v", boxes=(outside,)),
    ]
    manifest.write(rows, tmp_path / "m.parquet", {})
    one_world.bucket.put(f"jobs/{job}/manifest.parquet", tmp_path / "m.parquet")
    good = ask(2)
    height, width = good["size"]
    sides = {"left": width / 2, "top": height / 4, "right": width, "bottom": height * 3 / 4}
    assert good["boxes"] == [{"label": "cat", "difficult": False, **sides}]
    assert (ask(0)["boxes"], ask(0)["error"]) == ([], None)
    assert ask(1)["error"] == "a side is no number"
    assert "lies outside the photograph" in ask(3)["error"]
    assert "not in the manifest" in ask(4)["error"]

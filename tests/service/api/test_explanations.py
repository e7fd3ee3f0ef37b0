"""One explanation with its geometry and its provenance."""

import io

import numpy as np
from PIL import Image

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

"""Pictures of an explanation."""

import io

import pytest

from gfi.api import drawing
from tests.service.api.conftest import World


def test_a_photograph_that_changed_is_not_shown_as_the_one_explained(one_world: World) -> None:
    job = one_world.explained()
    path = one_world.photographs / one_world.names[1]
    path.write_bytes(path.read_bytes() + b" ")
    assert one_world.call("GET", f"/v1/jobs/{job}/results/1/photo.jpg").status_code == 409


def test_a_picture_is_drawn_once(one_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = one_world.explained()
    drawn = []
    draw = drawing.overlay_png
    monkeypatch.setattr(drawing, "overlay_png", lambda *a, **k: drawn.append(k["size"]) or draw(*a, **k))
    ask = [
        one_world.call("GET", f"/v1/jobs/{job}/results/1/overlay.png?size={size}")
        for size in (64, 64, 80, 64)
    ]
    assert ask[0].content == ask[1].content == ask[3].content != ask[2].content
    assert drawn == [64, 80]


def test_the_picture_of_a_hostile_name_is_served_under_ours(one_world: World) -> None:
    job = one_world.explained()
    answer = one_world.call("GET", f"/v1/jobs/{job}/results/0/mask.png")
    assert answer.headers["content-disposition"] == 'inline; filename="0-mask.png"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert io.BytesIO(answer.content).read(4) == b"\x89PNG"

"""Pictures drawn from a mask and a photograph, and the cache of those drawn last."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.api.drawing import Pictures, mask_png, overlay_png
from gfi.domain.geometry import Size
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus

MASK = np.ones((8, 8), np.float32)


def result(size: Size, box: tuple[float, float, float, float]) -> Result:
    return Result(0, "a.jpg", ImageStatus.OK, original_size=size, box=box)


def test_a_photograph_that_decoding_made_smaller_is_coloured_only_where_the_network_saw_it() -> None:
    """A third of 333×1000, with a started pixel at its edge, has 112×334, and no picture of 334 pixels has 112 rows."""
    photo = np.zeros((112, 334, 3), np.uint8)
    drawn = overlay_png(
        photo, result((333, 1000), (250, 0, 583, 333)), MASK, size=334, colour_map="jet", opacity=1
    )
    coloured = np.asarray(Image.open(io.BytesIO(drawn))).any(2)
    assert coloured.shape == (112, 334)
    # 250 · 334/1000 = 83.5 and 583 · 334/1000 = 194.7: the pixels whose centres lie between.
    assert coloured[:, 83:195].all()
    assert not coloured[:, :83].any()
    assert not coloured[:, 195:].any()


@pytest.mark.parametrize(
    ("size", "box", "asked", "expected", "inside"),
    [
        ((60, 100), (20, 0, 80, 60), 50, (30, 50), (0, 30, 10, 40)),
        ((100, 60), (0, 20, 60, 80), 50, (50, 30), (10, 40, 0, 30)),
        ((7, 5), (0.5, 1.5, 4.5, 5.5), 90, (7, 5), (1, 5, 0, 4)),  # centres on the edges
    ],
)
def test_a_mask_is_opaque_on_the_pixels_whose_centres_the_network_saw(
    size: Size, box: tuple[float, float, float, float], asked: int, expected: Size, inside: tuple[int, ...]
) -> None:
    drawn = mask_png(result(size, box), MASK, size=asked, colour_map="grey", frame="photograph")
    grey, alpha = np.moveaxis(np.asarray(Image.open(io.BytesIO(drawn))), 2, 0)
    wanted = np.zeros(expected, np.uint8)
    wanted[inside[0] : inside[1], inside[2] : inside[3]] = 255
    assert (alpha == wanted).all()
    assert (grey == wanted).all()


def test_the_input_alone_is_drawn_at_any_size_and_a_result_without_geometry_as_a_whole() -> None:
    drawn = mask_png(result((60, 100), (0, 0, 9, 9)), MASK, size=32, colour_map="jet", frame="input")
    assert Image.open(io.BytesIO(drawn)).size == (32, 32)
    whole = mask_png(Result(0, "a", ImageStatus.OK), MASK, size=32, colour_map="grey", frame="photograph")
    assert (np.asarray(Image.open(io.BytesIO(whole))) == 255).all()


def test_the_pictures_drawn_last_are_kept_up_to_a_number_of_bytes() -> None:
    drawn: list[str] = []
    pictures = Pictures(limit=100)

    def get(key: str, size: int = 25) -> bytes:
        def draw() -> bytes:
            drawn.append(key)
            return key.encode() * size

        return pictures.get(key, draw)

    for key in "abcd":
        assert get(key) == get(key) == key.encode() * 25
    assert drawn == list("abcd")
    get("a")
    get("e")  # 125 bytes would be kept: b was used longest ago
    drawn.clear()
    for key in "acde":
        get(key)
    assert drawn == []
    get("b")
    assert drawn == ["b"]


def test_a_picture_of_more_than_a_quarter_of_the_cache_displaces_nothing() -> None:
    pictures = Pictures(limit=100)
    pictures.get("small", lambda: b"s" * 20)
    assert pictures.get("large", lambda: b"l" * 26) == b"l" * 26
    assert pictures.get("large", lambda: b"drawn again") == b"drawn again"
    assert pictures.get("small", lambda: b"") == b"s" * 20

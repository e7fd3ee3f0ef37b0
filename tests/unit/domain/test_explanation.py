"""An explanation draws its mask."""

from dataclasses import replace

import numpy as np
import pytest

from gfi.domain.explanation import Explanation, Shown
from gfi.domain.statuses import ImageStatus

GRID = np.array([[1, 0], [0, 0]], np.float32)
MADE = Explanation(
    *(0, 3, 3, 0.9, 0.8, 0.1, GRID, 16, ImageStatus.OK, 0.25, 1.0, "mean"),
    shown=Shown((8, 8), False, (10, 20), (5.0, 0.0, 15.0, 10.0)),
)


def test_the_mask_is_drawn_at_the_input_size_and_where_the_network_saw_the_photograph() -> None:
    assert MADE.mask.shape == (8, 8)
    assert MADE.mask[0, 0] == 1
    picture = np.asarray(MADE.picture(np.full((20, 40, 3), 200, np.uint8)))  # decoded at another scale
    assert picture.shape == (20, 40, 3)
    assert picture[0, 10].tolist() == [200, 200, 200]
    assert picture[0, 9].tolist() == [30, 30, 30]  # outside what the network saw
    assert np.asarray(MADE.picture())[0, 0] == 255
    assert np.asarray(MADE.picture(np.full((10, 20), 100, np.uint8))).shape == (10, 20)


def test_a_notebook_shows_the_mask() -> None:
    assert (MADE._repr_png_() or b"").startswith(b"\x89PNG")
    bare = replace(MADE, shown=None)
    assert bare._repr_png_() is None
    with pytest.raises(ValueError, match="does not say where its mask lies"):
        bare.picture()
    with pytest.raises(ValueError, match=r"a photograph is \(H, W, 3\) uint8"):
        MADE.picture(np.zeros((4, 4)))  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"not \(4, 4, 4\) of uint8"
    ):  # its transparency would be darkened too
        MADE.picture(np.zeros((4, 4, 4), np.uint8))

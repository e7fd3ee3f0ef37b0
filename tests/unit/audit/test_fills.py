"""Removed and pasted places."""

import numpy as np

from gfi.audit.fills import border, pasted, removed, ring
from gfi.audit.places import around

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
PLACE = around(0.1, 0.1, 0.25)


def test_a_fill_changes_the_place_alone_and_uses_nothing_of_it() -> None:
    top, bottom, left, right = PLACE.pixels((40, 40))
    other = IMAGE.copy()
    other[top:bottom, left:right] = 255 - other[top:bottom, left:right]
    for fill in (ring, border):
        out = fill(IMAGE, PLACE)
        kept = np.ones((40, 40), bool)
        kept[top:bottom, left:right] = False
        assert (out[kept] == IMAGE[kept]).all()
        assert (out == fill(other, PLACE)).all()
    assert len(removed(IMAGE, PLACE)) == 2


def test_a_place_of_the_whole_image_stays_as_it_is() -> None:
    whole = around(0.5, 0.5, 1.0)
    assert (ring(IMAGE, whole) == IMAGE).all()
    assert (border(IMAGE, whole) == IMAGE).all()


def test_a_pasted_crop_is_the_source_there_and_the_host_elsewhere() -> None:
    out = pasted(IMAGE, np.zeros_like(IMAGE), PLACE)
    top, bottom, left, right = PLACE.pixels((40, 40))
    assert (out[top:bottom, left:right] == 0).all()
    assert (out[bottom:, right:] == IMAGE[bottom:, right:]).all()

"""Patterns are found where they were drawn, and only there."""

import numpy as np

from gfi.audit.pattern_search import found_pattern, peaks_at
from gfi.audit.places import around
from gfi.audit.same_pixels import high_passed
from gfi.audit.settings import AuditSettings

from .synthetic import GLYPH, MARK, world

S = AuditSettings()


def test_a_pattern_is_found_in_the_images_that_have_it_at_its_place() -> None:
    w = world(0.5, per_class=20)
    rows = np.flatnonzero(w.data.classes == 0)
    pattern = high_passed(np.repeat(255 * GLYPH[None, ..., None], 3, 3).astype(np.uint8), 1.44)[0]
    found = found_pattern(w.data, rows, pattern, w.photographs, S)
    assert 0 < w.marked[rows].sum() < len(rows)
    assert sorted(found) == np.flatnonzero(w.marked).tolist()
    middle = (2 + MARK / 2) / 48
    for place in found.values():
        assert abs((place.left + place.right) / 2 - middle) <= 1 / 48
        assert abs((place.top + place.bottom) / 2 - middle) <= 1 / 48


def test_a_mask_peaks_at_a_place_or_does_not() -> None:
    w = world(0.5, per_class=20)
    at = peaks_at(w.data.grids, around(0.12, 0.12, 0.2), S.peak_share_of_maximum)
    assert np.array_equal(at, w.marked)

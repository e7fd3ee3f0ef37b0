"""S4: what repeats pixel by pixel, and what only looks alike."""

import numpy as np
import pytest

from gfi.audit.places import around
from gfi.audit.same_pixels import compare, high_passed, matches, repeating, windows

from .synthetic import GLYPH


def textures(draw: np.random.Generator, n: int, side: int = 24) -> np.ndarray:
    return draw.normal(0, 20, (n, side, side)).astype(np.float32)


def test_the_highest_correlation_and_its_shift_are_found() -> None:
    draw = np.random.default_rng(0)
    searched = textures(draw, 3)
    pattern = searched[1, 5 : 5 + 12, 8 : 8 + 12][None]
    ncc, shift = matches(pattern, searched, 6)
    assert ncc[0, 1] == pytest.approx(1, abs=1e-5)
    assert shift[0, 1].tolist() == [-1, 2]
    assert ncc[0, [0, 2]].max() < 0.5


def test_a_watermark_repeats_and_other_textures_do_not() -> None:
    draw = np.random.default_rng(1)
    own, foreign = textures(draw, 20), textures(draw, 30)
    assert not compare(own, foreign, 4, 0.6).holds(0.25)
    own[:12, 8:16, 8:16] = 255 * GLYPH
    found = compare(own, foreign, 4, 0.6)
    assert found.repeated == 12
    assert found.foreign == 0
    assert found.holds(0.25)


def test_what_every_class_has_is_no_mark_of_one() -> None:
    draw = np.random.default_rng(1)
    own, foreign = textures(draw, 20), textures(draw, 30)
    own[:, 8:16, 8:16] = foreign[:, 8:16, 8:16] = 255 * GLYPH
    assert not compare(own, foreign, 4, 0.6).holds(0.25)


def test_flat_crops_match_nothing() -> None:
    flat = np.full((6, 24, 24), 7, np.float32)
    assert compare(flat, flat, 4, 0.6).repeated == 0


def test_a_pattern_that_moves_is_found_and_cut_to_what_repeats() -> None:
    draw = np.random.default_rng(2)
    searched, foreign = textures(draw, 40), textures(draw, 40)
    for i in range(14):
        y, x = draw.integers(6, 11, 2)
        searched[i, y : y + 8, x : x + 8] = 255 * (GLYPH - 0.5)
    found = repeating(searched, np.arange(40), foreign, 6, 0.6)
    assert found is not None
    assert found.images >= 12
    assert 6 <= found.pixels.shape[0] <= 12
    assert repeating(foreign, np.arange(40), searched, 6, 0.6) is None


def test_a_window_beyond_the_border_is_zero_there() -> None:
    maps = np.ones((1, 20, 20), np.float32)
    window = windows(maps, [around(0, 0, 0.2)], 3)[0]
    assert window.shape == (10, 10)
    assert window[:3].sum() == 0
    assert window[3:, 3:].min() == 1


def test_a_flat_image_has_no_high_frequencies() -> None:
    assert np.abs(high_passed(np.full((1, 12, 12, 3), 80, np.uint8), 1.5)).max() < 1e-3

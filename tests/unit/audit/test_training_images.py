"""The pixels of a shortcut in training images: where they are, and what is known where they are not."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binom, hypergeom

from gfi.audit.audit import audit
from gfi.audit.pattern_search import sigma_of
from gfi.audit.same_pixels import high_passed
from gfi.audit.settings import AuditSettings
from gfi.audit.training_images import (
    InTraining,
    at_sizes,
    has_pattern,
    highest_ncc,
    in_training,
    repeated_pattern,
    search,
)
from gfi.audit.verdicts import SHORTCUTS, Verdict, after_training_images
from tests.unit.audit.synthetic import CLASSES, World, world

S = AuditSettings(most_images=12, candidates_per_class=2)
DRAW = np.random.default_rng(5)
MARK = DRAW.integers(0, 2, (4, 4, 1)).repeat(6, 0).repeat(6, 1).repeat(3, 2) * 255


def literal(pattern: NDArray[np.float32], image: NDArray[np.float32]) -> float:
    """The highest NCC with any window, by loops."""
    t, half = len(pattern), len(pattern) // 2
    padded = np.pad(image.astype(np.float64), half)
    a = pattern.astype(np.float64) - pattern.mean()
    best = -1.0
    for top in range(padded.shape[0] - t + 1):
        for left in range(padded.shape[1] - t + 1):
            b = padded[top : top + t, left : left + t]
            b = b - b.mean()
            if np.linalg.norm(b) > t:
                best = max(best, float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)))
    return best


def test_the_search_is_the_highest_correlation_with_any_window() -> None:
    maps = DRAW.normal(0, 20, (3, 17, 23)).astype(np.float32)
    pattern = DRAW.normal(0, 20, (6, 6)).astype(np.float32)
    maps[1, 14:, 20:] = pattern[:3, :3]  # most of it lies outside
    maps[2, 4:10, 9:15] = 0.5 * pattern + 3
    found = highest_ncc(pattern, maps)
    np.testing.assert_allclose(found, [literal(pattern, one) for one in maps], atol=1e-6)
    assert found[2] == pytest.approx(1)
    assert highest_ncc(pattern, np.zeros((1, 17, 23), np.float32)).tolist() == [0]  # flat: no texture
    assert highest_ncc(pattern, maps[:, :5]).tolist() == [-1, -1, -1]


def backgrounds(number: int) -> NDArray[np.uint8]:
    """Images (N, 96, 96, 3) with textures of their own."""
    coarse = DRAW.integers(40, 215, (number, 12, 12, 3)).astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(one).resize((96, 96), Image.Resampling.BICUBIC)) for one in coarse]
    )


@pytest.mark.parametrize("times", [0.6, 0.77, 1.0, 1.1, 1.3, 1.5])
def test_a_mark_is_found_anywhere_and_at_another_size_and_nowhere_else(times: float) -> None:
    images = backgrounds(12)
    side = round(24 * times)
    mark = np.asarray(Image.fromarray(MARK.astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR))
    for number in range(0, 12, 2):
        top, left = DRAW.integers(0, 96 - side, 2)
        images[number, top : top + side, left : left + side] = mark
    world_of_one = backgrounds(1)
    world_of_one[0, 30:54, 40:64] = MARK
    pattern = high_passed(world_of_one, sigma_of(96))[0, 28:56, 38:66]
    assert has_pattern(pattern, images, S).tolist() == [True, False] * 6


@pytest.mark.parametrize(("listed", "images"), [(200, 200), (200, 120), (5000, 500)])
@pytest.mark.parametrize("sees", [0.6, 0.95])
def test_the_bound_holds_in_nineteen_of_twenty(listed: int, images: int, sees: float) -> None:
    bounds = [in_training(0, images, listed, seen, 16, 0.05).at_most for seen in range(17)]
    for have in range(1, listed, max(1, listed // 100)):
        drawn = np.arange(min(have, images) + 1)
        missed = float((hypergeom.pmf(drawn, listed, have, images) * (1 - sees) ** drawn).sum())
        wrong = [binom.pmf(n, 16, sees) for n, bound in enumerate(bounds) if bound < have / listed]
        assert missed * sum(wrong) <= 0.05


def test_a_search_that_sees_little_excludes_nothing() -> None:
    assert in_training(0, 500, 20_000, 24, 24, 0.05).at_most < 0.01
    assert in_training(0, 500, 20_000, 2, 24, 0.05).at_most > 0.1
    assert in_training(0, 200, 200, 0, 12, 0.05).at_most == 1
    assert in_training(0, 0, 200, 12, 12, 0.05).at_most == 1
    assert in_training(1, 200, 200, 12, 12, 0.05).at_most == 1


def test_what_is_found_in_clean_textures_is_too_small_to_search_for() -> None:
    images, drawn = backgrounds(12), backgrounds(1)
    drawn[0, 40:48, 42:46] = drawn[0, 42:46, 40:48] = 255
    cross = high_passed(drawn, sigma_of(96))[0, 39:49, 39:49]
    small = np.asarray(Image.fromarray(cross).resize((6, 6), Image.Resampling.BICUBIC), np.float32)
    assert (highest_ncc(small, high_passed(images, sigma_of(96))) >= S.match).mean() > 0.8
    told = search(cross, [images], 40, images[:6], S)
    assert told == InTraining(0, 0, 40, 0, 6, 1.0, too_small=True)
    assert [len(one) for one in at_sizes(np.zeros((16, 16), np.float32))] == [12, 14, 16, 18, 21, 24]


def of_class(w: World, k: int = 0) -> NDArray[np.uint8]:
    return w.pixels[w.data.classes == k]


def test_a_shortcut_stays_one_if_the_training_images_have_it_and_only_then() -> None:
    w = world(0.6)
    results = audit(w.data, CLASSES, w.photographs, w.predict, S)
    assert results[0].verdict is Verdict.REPEATED_MARK
    plan = results[0].plan
    pattern = repeated_pattern(plan, w.photographs, S)
    assert pattern is not None
    # Of a candidate without a pattern it is what repeats at the places that were removed.
    bare = replace(plan, candidate=replace(plan.candidate, pattern=None))
    drawn = repeated_pattern(bare, w.photographs, S)
    assert drawn is not None
    nothing = world(0.0)
    assert repeated_pattern(bare, nothing.photographs, S) is None

    audited = w.photographs(np.array(plan.used))
    taught, clean = world(0.3, per_class=200, seed=1), world(0.0, per_class=200, seed=1)
    for pixels in (pattern, drawn):
        there = search(pixels, [of_class(taught)[:90], of_class(taught)[90:]], 200, audited, S)
        assert (there.found, there.images) == (int(taught.marked.sum()), 200)
        assert there.seen == there.audited == len(plan.used)
        kept = after_training_images(results, {0: there}, S)[0]
        assert (kept.verdict, kept.training, kept.misleads) == (Verdict.REPEATED_MARK, there, False)
        none = search(pixels, [of_class(clean)], 200, audited, S)
        assert (none.found, none.images) == (0, 200)
        after = after_training_images(results, {0: none}, S)
        assert not [one for one in after if one.verdict in SHORTCUTS]
        (told,) = [one for one in after if one.training is not None]
        assert (told.verdict, told.misleads) == (Verdict.RELIES_ON, True)
        few = search(pixels, [of_class(clean)[:40]], 200, audited, S)
        assert after_training_images(results, {0: few}, S)[0].verdict is Verdict.REPEATED_MARK

"""Verdicts, with exact values and by simulation."""

from dataclasses import replace

import numpy as np
import pytest

from gfi.drift.binomial import upper_bound
from gfi.drift.floors import Floor, FloorLevel
from gfi.drift.run_spread import RunSpread
from gfi.drift.verdicts import (
    Tolerance,
    Verdict,
    class_verdicts,
    mask_verdicts,
    pooled_verdict,
    worst,
)


def floor(p0: float = 0.05, classes: int = 10, threshold: float = 0.5) -> Floor:
    return Floor(FloorLevel.OTHER_TRAINING, 4, 6, threshold, p0, dict.fromkeys(range(classes), p0), 1000)


def test_a_class_that_moved_fails_and_the_others_pass() -> None:
    counts = {0: (40, 100), **dict.fromkeys(range(1, 10), (5, 600))}
    verdicts = class_verdicts(counts, floor(), Tolerance())
    assert verdicts[0].verdict is Verdict.FAIL
    assert {verdicts[index].verdict for index in range(1, 10)} == {Verdict.PASS}
    # One of ten classes is rejected: its lower bound is made at a tenth of the level.
    assert verdicts[0].lower == pytest.approx(0.2779, abs=2e-3)
    assert verdicts[0].limit == pytest.approx(0.15)


def test_more_than_expected_and_less_than_tolerated_is_no_fail() -> None:
    # 120 of 1000: far beyond p0 = .05, but the limit is .15.
    assert class_verdicts({0: (120, 1000)}, floor(), Tolerance())[0].verdict is Verdict.PASS
    moved = class_verdicts({0: (160, 1000)}, floor(), Tolerance())[0]
    assert (moved.verdict, moved.p < 1e-6) == (Verdict.UNDECIDED, True)


def test_undecided_says_how_many_images_would_decide() -> None:
    moved = class_verdicts({0: (3, 30)}, floor(), Tolerance())[0]
    assert (moved.verdict, moved.reason) == (Verdict.UNDECIDED, "too few images")
    assert moved.decides is not None
    assert upper_bound(0.1 * moved.decides, moved.decides, 0.05) < 0.15
    assert upper_bound(0.1 * (moved.decides - 1), moved.decides - 1, 0.05) >= 0.15


def test_a_class_of_thirty_never_passes_and_may_fail() -> None:
    assert class_verdicts({0: (0, 30)}, floor(), Tolerance())[0].decides == 50
    assert class_verdicts({0: (20, 30)}, floor(), Tolerance())[0].verdict is Verdict.FAIL


def test_a_fail_lies_beyond_what_another_training_run_may_show_and_a_pass_below_p0() -> None:
    varied = replace(floor(), spread=RunSpread(0.02, 30, 4), spread_of_all=RunSpread(0.02, 3, 4))
    # Of ten classes each has a bound at .005: p1 = .18, and a fail reaches .28.
    counts = {0: (190, 600), 1: (240, 600), 2: (30, 600), **dict.fromkeys(range(3, 10), (0, 600))}
    verdicts = class_verdicts(counts, varied, Tolerance())
    assert verdicts[0].fails_at == pytest.approx(0.284, abs=0.001)
    assert [verdicts[c].verdict for c in (0, 1, 2)] == [Verdict.UNDECIDED, Verdict.FAIL, Verdict.PASS]
    assert verdicts[0].decides is not None
    between = class_verdicts(counts | {0: (150, 600)}, varied, Tolerance())[0]
    assert (between.verdict, between.decides) == (Verdict.UNDECIDED, None)
    assert "another training run may move up to 18% of them" in str(between.reason)
    assert {class_verdicts(counts, floor(), Tolerance())[c].verdict for c in (0, 1)} == {Verdict.FAIL}
    alone = pooled_verdict(150, 600, varied, Tolerance())
    assert (alone.verdict, pooled_verdict(150, 600, floor(), Tolerance()).verdict) == (
        Verdict.UNDECIDED,
        Verdict.FAIL,
    )


def test_where_the_floor_sees_nothing_nothing_is_decided() -> None:
    saturated = class_verdicts({0: (0, 1000)}, floor(threshold=1.0), Tolerance())[0]
    assert (saturated.verdict, "as much as two masks can" in str(saturated.reason)) == (
        Verdict.UNDECIDED,
        True,
    )
    high = class_verdicts({0: (1000, 1000)}, floor(p0=0.95), Tolerance())[0]
    assert (high.verdict, "no share can exceed" in str(high.reason)) == (Verdict.UNDECIDED, True)
    unknown = class_verdicts({77: (1, 100), 78: (0, 0)}, floor(), Tolerance())
    assert "no mask of this class" in str(unknown[77].reason)
    assert unknown[78].reason == "no pair of masks"
    assert pooled_verdict(0, 0, floor(), Tolerance()).verdict is Verdict.UNDECIDED


def test_a_fail_outweighs_an_undecided_check_and_that_a_pass() -> None:
    assert worst([Verdict.PASS, Verdict.UNDECIDED, Verdict.FAIL]) is Verdict.FAIL
    assert worst([Verdict.PASS, Verdict.UNDECIDED]) is Verdict.UNDECIDED
    assert worst([]) is Verdict.PASS


@pytest.mark.parametrize("n", [10, 30, 200])
def test_false_fails_are_rare_at_every_n(n: int) -> None:
    """300 gates of ten classes each, whose true share equals that of the floor."""
    fails = 0
    for moved in np.random.default_rng(n).binomial(n, 0.05, size=(300, 10)):
        verdicts = class_verdicts({index: (int(k), n) for index, k in enumerate(moved)}, floor(), Tolerance())
        fails += any(v.verdict is Verdict.FAIL for v in verdicts.values())
    assert fails <= 1


@pytest.mark.parametrize("n", [10, 30, 200])
def test_a_class_at_its_limit_fails_in_at_most_five_percent(n: int) -> None:
    fails = [
        class_verdicts({0: (int(k), n)}, floor(), Tolerance())[0].verdict is Verdict.FAIL
        for k in np.random.default_rng(n).binomial(n, 0.15, size=1000)
    ]
    assert np.mean(fails) <= 0.06


def test_a_class_that_lies_beyond_its_limit_passes_in_at_most_five_percent() -> None:
    random = np.random.default_rng(5)
    passes = [
        class_verdicts({0: (int(k), 400)}, floor(), Tolerance())[0].verdict is Verdict.PASS
        for k in random.binomial(400, 0.15, size=1000)
    ]
    assert np.mean(passes) <= 0.065


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_another_training_run_of_the_same_recipe_rarely_fails(spread: float) -> None:
    """The unit of repetition is the run, not the image: each run has its own share; the floor has six pairs of runs.
    With flipped images, shares are higher and differ more."""
    random = np.random.default_rng(11)
    fails = passes = 0
    for _ in range(300):
        moved, with_flips = (
            random.binomial(600, np.clip(random.normal(mean, width * spread, size=(7, 10)), 0.005, 1))
            for mean, width in ((0.05, 1), (0.2, 1.5))
        )
        made = replace(_measured(moved[:6]), with_flips=_measured(with_flips[:6]))
        counts = ({index: (int(k), 600) for index, k in enumerate(run[6])} for run in (moved, with_flips))
        verdicts = mask_verdicts(*counts, made, Tolerance())
        found = [v.verdict for v in verdicts.classes.values()]
        fails += Verdict.FAIL in found + [v.verdict for v in verdicts.with_flips.values()]
        passes += set(found) == {Verdict.PASS}
    assert fails / 300 <= 0.05
    assert passes / 300 >= 0.95


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_labels_that_move_together_fail_no_oftener_over_all_classes(share: float) -> None:
    """100 images with one to eight labels, nearly all of which move where one does; the true share is p0, or the limit.
    By masks, more than α of gates would fail at the limit."""
    random = np.random.default_rng(7)
    by_image, by_mask = 0, 0
    for _ in range(1000):
        labels = random.choice([1, 2, 8], size=100)
        moved = [random.random(k) < (0.95 if random.random() < share else share / 19) for k in labels]
        counts = (
            (sum(float(m.mean()) for m in moved), 100),
            (sum(int(m.sum()) for m in moved), int(labels.sum())),
        )
        fails = [pooled_verdict(*one, floor(0.05), Tolerance()).verdict is Verdict.FAIL for one in counts]
        by_image, by_mask = by_image + fails[0], by_mask + fails[1]
    assert by_image / 1000 <= 0.05
    assert share == 0.05 or by_mask / 1000 > 0.08


def _measured(moved: np.ndarray) -> Floor:
    """The floor of six pairs of runs with 600 masks a class: moved (6, 10)."""
    p0 = np.maximum(moved.max(0) / 600, 0.05)
    return Floor(FloorLevel.OTHER_TRAINING, 4, 6, 0.5, float(p0.max()), dict(enumerate(p0.tolist())), 3600)


@pytest.mark.parametrize("n", [30, 200])
def test_two_tests_of_the_same_masks_fail_no_oftener(n: int) -> None:
    """At the limit, where a fail is false and not rare: pairs alone, and pairs with flipped images, of one class."""
    random = np.random.default_rng(n)
    base = replace(floor(classes=1), with_flips=floor(classes=1), flipped_p0={0: 0.05})
    fails = 0
    for _ in range(1000):
        moved = random.random(n) < 0.15
        pairs = random.random(n) < 0.5
        made = mask_verdicts(
            {0: (int(moved[pairs].sum()), int(pairs.sum()))}, {0: (int(moved.sum()), n)}, base, Tolerance()
        )
        fails += Verdict.FAIL in (made.classes[0].verdict, made.with_flips[0].verdict)
    assert fails / 1000 <= 0.06


@pytest.mark.parametrize(
    ("flipped_p0", "moved_flips", "fails"),
    [
        ({0: 0.9}, 162, False),  # as many of the flipped images as in the floor, of which there are more
        ({0: 0.05}, 162, True),
        ({}, 180, False),  # the floor has no flipped image of this class
    ],
)
def test_more_flips_than_in_the_floor_are_no_moved_masks(
    flipped_p0: dict[int, float], moved_flips: int, fails: bool
) -> None:
    """180 of 600 images flipped; 21 of the 420 pairs are beyond the threshold, the share of the floor."""
    made = mask_verdicts(
        {0: (21, 420)},
        {0: (21 + moved_flips, 600)},
        replace(floor(), with_flips=floor(), flipped_p0=flipped_p0),
        Tolerance(),
    )
    assert made.classes[0].verdict is not Verdict.FAIL
    assert (made.with_flips[0].verdict is Verdict.FAIL) is fails

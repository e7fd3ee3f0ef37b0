"""Noise floors: thresholds, cross-fitting, and the expected share of each class."""

from dataclasses import replace

import numpy as np
import pytest

from gfi.drift.errors import DriftError
from gfi.drift.floors import Floor, FloorLevel, RunDistances, RunPair, floor_of, level_of
from gfi.drift.pairs import Counts
from gfi.drift.verdicts import Tolerance, Verdict, mask_verdicts
from tests.unit.drift.tables import blob, pairs_of, result


def pair(distances: list[float], targets: list[int] | None = None, runs: str = "ab") -> RunPair:
    n = len(distances)
    halves = np.arange(n, dtype=np.int8) % 2
    classes = np.array(targets or [0] * n, np.int32)
    return RunPair(
        (runs[0], runs[1]), classes, np.array(distances, np.float32), halves, np.ones(n, np.float32)
    )


def test_the_level_is_what_the_two_jobs_have_in_common() -> None:
    cpu, gpu = {"device_kind": "cpu"}, {"device_kind": "cuda:H100"}
    assert level_of("x", cpu, "x", cpu) is FloorLevel.SAME_PROFILE
    assert level_of("x", cpu, "x", gpu) is FloorLevel.OTHER_PROFILE
    assert level_of("x", None, "x", None) is FloorLevel.OTHER_PROFILE
    assert level_of("x", cpu, "y", cpu) is FloorLevel.OTHER_TRAINING


def test_at_most_five_percent_of_the_floor_exceed_its_threshold() -> None:
    values = np.random.default_rng(0).random(1000).tolist()
    floor = floor_of(FloorLevel.OTHER_TRAINING, 2, [pair(values)])
    assert (np.array(values, np.float32) > floor.threshold).mean() == 0.05


def test_each_pair_is_judged_by_the_threshold_of_the_others() -> None:
    quiet, loud = [0.1] * 100, [0.1] * 60 + [0.9] * 40
    floor = floor_of(FloorLevel.OTHER_TRAINING, 3, [pair(quiet), pair(quiet), pair(loud)])
    # The noisy pair is judged by the threshold of the others, .1; its own distances would have raised the threshold.
    assert floor.p0 == pytest.approx(0.4)
    assert floor.threshold == pytest.approx(0.9)


def test_what_is_expected_is_the_largest_share_for_each_class_and_at_least_five_percent() -> None:
    targets = [0] * 50 + [1] * 50
    one = pair([0.1] * 50 + [0.1] * 45 + [0.5] * 5, targets)
    two = pair([0.1] * 50 + [0.1] * 35 + [0.6] * 15, targets)
    floor = floor_of(FloorLevel.OTHER_TRAINING, 3, [one, two])
    # Of the second pair 15 of 50 exceed the threshold of the first, which is .1: five of its hundred are above.
    assert floor.class_p0 == {0: 0.05, 1: pytest.approx(0.3)}
    assert floor.p0 == pytest.approx(0.15)


def test_a_class_with_a_hundred_distances_has_a_threshold_of_its_own() -> None:
    random = np.random.default_rng(0)
    targets = [0] * 100 + [1] * 100 + [2] * 99
    spread = [*(0.4 * random.random(100)), *(0.5 + 0.5 * random.random(100)), *random.random(99)]
    floor = floor_of(FloorLevel.OTHER_TRAINING, 3, [pair(spread, targets), pair(spread, targets)])
    # Of class 2 there are 198, but each pair is judged by the 99 of the other.
    assert set(floor.class_thresholds) == {0, 1}
    assert floor.class_thresholds[0] < 0.4 < 0.9 < floor.threshold
    moved = floor.moved(np.array([0, 1, 2, -1]), np.array([0.45, 0.45, 0.45, 0.45]))
    assert moved.tolist() == [True, False, False, False]
    assert "0.3" in floor.sentence().partition("by class")[0]


@pytest.mark.parametrize(("runs", "quiet"), [(2, [150]), (3, [100, 10, 10])])
def test_what_is_expected_of_a_class_and_its_moves_have_one_threshold(runs: int, quiet: list[int]) -> None:
    """A class with a hundred distances in all, but fewer where it is judged for p0. With a threshold of its own, .38, a
    third of its masks would be moved where the threshold of p0, .8, let none pass."""
    pairs = [pair([*np.linspace(0, 0.4, n), *[0.8] * 400], [0] * n + [1] * 400) for n in quiet]
    floor = floor_of(FloorLevel.OTHER_TRAINING, runs, pairs)
    assert set(floor.class_thresholds) == {1}
    assert floor.class_p0[0] == 0.05
    assert not floor.moved(np.array([0]), np.array([0.6])).any()


def test_flipped_images_have_their_own_share_beyond_the_thresholds_of_all() -> None:
    one = pair([0.1] * 90)
    alike = replace(one, flipped=pair([0.1] * 10))
    apart = replace(one, flipped=pair([0.1] * 4 + [0.9] * 6))
    floor = floor_of(FloorLevel.OTHER_TRAINING, 3, [alike, apart])
    assert floor.with_flips is not None
    assert floor.with_flips.class_p0 == {0: 0.05}
    # Six of ten, by the upper 95 % bound.
    assert floor.flipped_p0 == {0: pytest.approx(0.8500, abs=1e-4)}
    assert floor.class_p0_with_flips(0, 0.5) == pytest.approx(0.45, abs=1e-4)
    assert floor.class_p0_with_flips(1, 0.5) == 1.0  # nothing is known of class 1
    assert Floor.from_json(floor.to_json()) == floor


@pytest.mark.parametrize(("flipped", "moved", "fails"), [(1, 127, False), (100, 127, True)])
def test_few_flipped_images_of_the_floor_do_not_make_flips_moved_masks(
    flipped: int, moved: int, fails: bool
) -> None:
    """None of the floor's flipped images lies beyond the threshold, where in truth seven of ten do: of one image that
    happens in 30 % of floors. The comparison has 450 pairs and 150 flipped images."""
    pairs = [replace(pair([0.1] * 600), flipped=pair([0.1] * flipped))] + [pair([0.1] * 600)] * 5
    floor = floor_of(FloorLevel.OTHER_TRAINING, 4, pairs)
    made = mask_verdicts({0: (22, 450)}, {0: (moved, 600)}, floor, Tolerance())
    assert (made.with_flips[0].verdict is Verdict.FAIL) is fails


def test_over_all_classes_an_image_counts_once() -> None:
    """Of ten images one has ten labels, whose masks all moved: that is a tenth of the images, and half of the masks."""
    still = [pair([0.1] * 19)] * 2
    weights = np.array([1.0] * 9 + [0.1] * 10, np.float32)
    moved = replace(pair([0.1] * 9 + [0.9] * 10), weights=weights)
    assert floor_of(FloorLevel.OTHER_TRAINING, 3, [*still, moved]).p0 == pytest.approx(0.1)


def test_a_single_pair_is_judged_by_halves() -> None:
    # Even positions have small distances, odd ones large: each half is judged by the threshold of the other.
    floor = floor_of(FloorLevel.OTHER_TRAINING, 2, [pair([0.1, 0.8] * 50)])
    assert floor.p0 == 0.5


def test_the_floor_of_equal_masks_is_exactly_0() -> None:
    floor = floor_of(FloorLevel.SAME_PROFILE, 2, [pair([0.0] * 40)])
    assert (floor.threshold, floor.p0, floor.saturated) == (0.0, 0.05, False)
    assert floor_of(FloorLevel.OTHER_TRAINING, 2, [pair([1.0] * 40)]).saturated


def test_three_runs_say_how_much_a_class_varies_between_them() -> None:
    """Run c moves masks of class 0, which the others do not."""
    still, far = [0.1] * 1000, [0.1] * 300 + np.linspace(0.5, 1, 200).tolist()
    targets = [0] * 500 + [1] * 500
    pairs = [pair(still, targets, "ab"), *(pair(far + [0.1] * 500, targets, runs) for runs in ("ac", "bc"))]
    floor = floor_of(FloorLevel.OTHER_TRAINING, 3, pairs)
    assert floor.spread is not None
    assert floor.spread_of_all is not None
    assert (floor.spread.freedom, floor.spread_of_all.freedom) == (4, 2)
    assert floor.class_at_most(1, 0.05) > floor.class_p0[1]
    assert floor.at_most(0.05) > floor.p0
    assert Floor.from_json(floor.to_json()) == floor
    assert floor_of(FloorLevel.OTHER_TRAINING, 2, pairs[:1]).at_most(0.05) == 0.05


def test_a_floor_says_what_it_is_made_of() -> None:
    floor = floor_of(FloorLevel.OTHER_TRAINING, 2, [pair([0.1, 0.8] * 50)])
    assert "2 runs (other training runs), 1 pair of them" in floor.sentence()
    assert floor.sentence().endswith("two runs do not show how much training runs vary, three do")
    same = floor_of(FloorLevel.SAME_PROFILE, 2, [pair([0.0] * 40)])
    assert same.sentence().endswith("beyond it")
    assert replace(same, repeated=2).sentence().endswith("; 2 more jobs have the weights of one of them")


def test_a_floor_needs_pairs_and_their_masks() -> None:
    with pytest.raises(DriftError, match="at least two runs"):
        floor_of(FloorLevel.OTHER_TRAINING, 1, [])
    with pytest.raises(DriftError, match="no masks of the same images"):
        RunDistances().run_pair(("x", "y"), Counts())


def test_images_that_one_of_the_runs_does_not_predict_are_no_flips_and_no_agreement() -> None:
    a = [result(str(n), blob(2, 2), target=n // 10, prediction=0) for n in range(20)]
    b = [row | {"prediction": None if n >= 5 else int(n < 4)} for n, row in enumerate(a)]
    blocks, counts = pairs_of(a, b)
    distances = RunDistances()
    for block in blocks:
        distances.add(block)
    made = distances.run_pair(("a", "b"), counts)
    assert (made.flips, made.images) == ({0: 4}, {0: 5})
    floor = floor_of(FloorLevel.OTHER_TRAINING, 2, [made])
    assert (floor.flips, dict(floor.class_flips)) == (0.8, {0: 0.8})


def test_the_distances_of_two_runs_are_kept_with_their_classes() -> None:
    a = [result(f"{n}", blob(2, 2), target=n % 2, prediction=n % 2) for n in range(6)]
    blocks, counts = pairs_of(a, a)
    distances = RunDistances()
    for block in blocks:
        distances.add(block)
        distances.add_flipped(block)
    made = distances.run_pair(("a", "a"), counts)
    assert made.distances.tolist() == [0.0] * 6
    assert sorted(made.targets.tolist()) == [0, 0, 0, 1, 1, 1]
    assert set(made.half.tolist()) <= {0, 1}
    # Flipped images are apart, and with the pairs in the floor that has both.
    assert [len(p.distances) for p in (made, made.with_flips)] == [6, 12]
    floor = floor_of(FloorLevel.OTHER_TRAINING, 2, [made])
    assert floor.with_flips is not None
    assert (floor.images, floor.with_flips.images) == (6, 12)
    assert Floor.from_json(floor.to_json()) == floor

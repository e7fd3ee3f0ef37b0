"""The sums of a comparison, compared with a loop over the pairs."""

import json

import numpy as np
import pytest

from gfi.drift.binomial import mean_bounds
from gfi.drift.comparison import WORST, Accumulator, Comparison, _change
from gfi.drift.distances import top_area, top_weights
from tests.unit.drift.tables import blob, floor, pairs_of, result, run


def compared(a: list, b: list, threshold: float | None = 0.5, metrics: tuple[str, ...] = ()) -> Comparison:
    blocks, counts = pairs_of(a, b, metrics)
    accumulator = Accumulator(floor(threshold) if threshold is not None else None)
    for block in blocks:
        accumulator.add(block)
    return accumulator.comparison(counts)


def test_a_job_compared_with_itself_has_every_distance_exactly_0() -> None:
    rows = list(run(np.random.default_rng(0), 3, 40))
    same = compared(rows, rows, threshold=0.0)
    assert (same.pairs, same.bit_equal, same.moved, same.largest, same.distance) == (120, 120, 0, 0.0, 0.0)
    assert same.worst == ()
    assert same.means["spearman"] == pytest.approx(1)
    assert same.means["jensen_shannon"] == 0


def test_the_sums_are_those_of_the_pairs() -> None:
    random = np.random.default_rng(1)
    a, b = list(run(random, 3, 40)), list(run(random, 3, 40))
    blocks, _ = pairs_of(a, b)
    distance = np.concatenate([top_area(top_weights(x.a), top_weights(x.b)) for x in blocks])
    targets = np.concatenate([x.targets for x in blocks])
    made = compared(a, b)
    assert made.distance == pytest.approx(distance.mean())
    assert made.largest == distance.max()
    assert made.moved == (distance > 0.5).sum()
    assert made.class_counts == {c: (int((distance[targets == c] > 0.5).sum()), 40) for c in range(3)}
    assert [mover.distance for mover in made.worst] == sorted(distance, reverse=True)[:WORST]


def test_the_class_that_moved_into_a_corner_says_where_it_went() -> None:
    random = np.random.default_rng(2)
    made = compared(list(run(random, 3, 40)), list(run(random, 3, 40, corner={1: 1.0})), threshold=0.99)
    moves = made.classes[1]
    assert (moves.place, moves.direction) == ("lower left corner", "the lower left")
    assert made.classes[0].moved < 5 < 25 < moves.moved


def test_energy_in_box_is_that_of_the_moved_masks() -> None:
    far = [result(f"{n}", blob(6, 6), energy_in_box=0.1) for n in range(3)]
    near = [result(f"{n}", blob(1, 1), energy_in_box=0.7) for n in range(3)]
    still = [result("still", blob(3, 3), energy_in_box=0.9)]
    moves = compared(near + still, far + still, metrics=("energy_in_box",)).classes[1]
    assert (moves.n, moves.moved) == (4, 3)
    assert (moves.energy_a, moves.energy_b) == (pytest.approx(0.7), pytest.approx(0.1))


def test_metrics_are_averaged_over_pairs_that_are_both_ok() -> None:
    spot = blob(2, 2)
    a = [result(str(n), spot, deletion=n / 10) for n in range(4)] + [result("lost", spot, deletion=9.0)]
    b = [result(str(n), spot, deletion=n / 5) for n in range(4)]
    b.append(result("lost", spot, deletion=0.0, status="target_lost"))
    change = compared(a, b, metrics=("deletion",)).metrics["deletion"]
    assert (change.n, change.mean_a, change.change) == (4, pytest.approx(0.15), pytest.approx(0.15))
    # Of the image that one job lost, the number may have changed by 1.
    assert (change.alone, change.infinite) == (1, 0)
    assert change.deviation == pytest.approx(np.std([0, 0.1, 0.2, 0.3], ddof=1))


def test_of_a_metric_that_is_0_or_1_falls_and_rises_are_counted() -> None:
    spot = blob(2, 2)
    hits = [(1, 0), (1, 0), (0, 1), (1, 1), (0, 0)]
    a, b = (
        [result(str(n), spot, pointing_hit=float(hit[at])) for n, hit in enumerate(hits)] for at in (0, 1)
    )
    change = compared(a, b, metrics=("pointing_hit",)).metrics["pointing_hit"]
    assert (change.binary, change.fell, change.rose) == (True, 2, 1)


def test_numbers_that_are_not_finite_are_counted_and_enter_no_mean() -> None:
    spot, inf, nan = blob(2, 2), np.inf, np.nan
    numbers = [
        (0.2, 0.3),
        (0.2, nan),
        (nan, 0.2),
        (nan, nan),
        (None, None),
        (None, 0.2),
        (0.2, inf),
        (inf, inf),
    ]
    a, b = ([result(str(n), spot, deletion=pair[at]) for n, pair in enumerate(numbers)] for at in (0, 1))
    change = compared(a, b, metrics=("deletion",)).metrics["deletion"]
    assert (change.n, change.alone, change.infinite) == (1, 5, 2)
    assert change.change == pytest.approx(0.1)
    assert change.bounds(0.05) == (-inf, inf)
    only_nan = compared(a[1:2], b[1:2], metrics=("deletion",)).metrics["deletion"]
    assert (only_nan.n, only_nan.alone) == (0, 1)


@pytest.mark.parametrize("differ", [5, 1000])
def test_bounds_of_a_mean_hold_where_few_images_differ(differ: int) -> None:
    """Of 1,000 images so many change in expectation, a tenth of them from 0 to 1. With 5, Student's upper bound is too
    low in six of ten samples."""
    random = np.random.default_rng(differ)
    mean = differ / 1000 * (0.1 + 0.9 * 0.02)
    wrong, normal, students_wrong = np.zeros(2), 0, 0
    for _ in range(400):
        changed = random.random(1000) < differ / 1000
        change = np.where(changed, np.where(random.random(1000) < 0.1, 1.0, 0.02), 0.0)
        sums = [
            1000,
            0,
            change.sum(),
            *((change**power).sum() for power in range(1, 5)),
            0,
            change.sum(),
            0,
            0,
        ]
        made = _change("deletion", np.array(sums))
        low, high = made.bounds(0.05)
        wrong += (low > mean, high < mean)
        normal += made.normal
        students_wrong += mean_bounds(made.change, made.deviation, 1000, 0.05)[1] < mean
    assert (normal / 400 > 0.95) is (differ == 1000)
    assert (wrong / 400 <= 0.075).all()
    if differ == 5:
        assert wrong.tolist() == [0, 0]
        assert students_wrong / 400 > 0.5


def test_an_image_with_several_masks_counts_once() -> None:
    still, far = blob(1, 1), blob(6, 6)

    def image(key: str, *labels: tuple[np.ndarray, float]) -> list:
        return [
            result(key, grid, target=at, target_rank=at, prediction=1, pointing_hit=hit, deletion=hit)
            for at, (grid, hit) in enumerate(labels)
        ]

    a = [row for key in "xyz" for row in image(key, *[(still, 1.0)] * (3 if key == "x" else 1))]
    b = image("x", (still, 1.0), (far, 0.0), (far, 0.0)) + image("y", (still, 1.0)) + image("z", (far, 0.0))
    made = compared(a, b, metrics=("pointing_hit", "deletion"))
    assert (made.pairs, made.moved, made.images) == (5, 3, 3)
    assert made.moved_images == pytest.approx(2 / 3 + 1, abs=1e-6)
    for name in ("pointing_hit", "deletion"):
        change = made.metrics[name]
        assert (change.n, change.mean_a, change.change) == (3, 1.0, pytest.approx(-5 / 9))
        assert change.deviation == pytest.approx(np.std([-2 / 3, 0, -1], ddof=1))
        assert (change.fell, change.rose) == (pytest.approx(5 / 3, abs=1e-6), 0.0)
    assert made.metrics["pointing_hit"].binary


def test_without_a_floor_nothing_counts_as_moved_and_all_is_json() -> None:
    random = np.random.default_rng(3)
    made = compared(list(run(random, 2, 10)), list(run(random, 2, 10)), threshold=None)
    assert made.moved == 0
    shown = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert (shown["pairs"], shown["moved"], len(shown["classes"])) == (20, None, 2)


def test_of_very_many_pairs_a_sample_is_described() -> None:
    rows = list(run(np.random.default_rng(0), 2, 100))
    blocks, counts = pairs_of(rows, rows)
    accumulator = Accumulator(None, expected=100_000)
    for block in blocks:
        accumulator.add(block)
    assert 20 < accumulator.comparison(counts).described < 60  # one in five of 200

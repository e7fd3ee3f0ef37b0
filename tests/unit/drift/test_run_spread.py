"""The spread between training runs, against runs whose spread is known."""

from itertools import combinations

import numpy as np
import pytest

from gfi.drift.run_spread import PairMoves, RunSpread, from_json, run_spread


def pairs(random: np.random.Generator, runs: int, classes: int, n: int, deviation: float) -> list[PairMoves]:
    """Each pair of runs moves a fifth of the masks of a class, plus an effect of each of its two runs."""
    effects = deviation * random.normal(size=(runs, classes))
    targets = np.repeat(np.arange(classes), n)
    half = np.arange(len(targets)) % 2
    return [
        PairMoves(
            (str(i), str(j)),
            targets,
            random.random(len(targets)) < (0.2 + effects[i] + effects[j])[targets],
            half,
            np.ones(len(targets)),
        )
        for i, j in combinations(range(runs), 2)
    ]


@pytest.mark.parametrize("runs", [3, 4])
@pytest.mark.parametrize("deviation", [0.0, 0.04])
@pytest.mark.parametrize("n", [30, 1000])
def test_the_spread_is_that_of_the_runs_and_not_the_noise_of_their_images(
    runs: int, deviation: float, n: int
) -> None:
    """The mean of 60 estimates of 20 classes. The noise of 30 images alone would be a spread of .03 and more."""
    random = np.random.default_rng(runs)
    found = [run_spread(pairs(random, runs, 20, n, deviation)) for _ in range(60)]
    rho = np.mean([one.rho for one in found if one is not None])
    assert rho == pytest.approx(deviation**2 / (0.2 * 0.8), abs=0.006 if n == 30 else 0.0015)
    assert found[0] is not None
    assert (found[0].freedom, found[0].runs) == (20 * (runs - 1), runs)


def test_two_runs_do_not_say_how_runs_vary() -> None:
    assert run_spread(pairs(np.random.default_rng(0), 2, 5, 100, 0.1)) is None


def test_a_class_that_a_pair_lacks_is_left_out_and_large_classes_decide() -> None:
    made = pairs(np.random.default_rng(0), 3, 2, 50, 0.1)

    def first(pair: PairMoves, n: int) -> PairMoves:
        return PairMoves(pair.runs, pair.classes[:n], pair.moved[:n], pair.half[:n], pair.weights[:n])

    few = [first(pair, 60) for pair in made]
    spread = run_spread(few)
    assert spread is not None
    assert spread.freedom == 2  # 50 and 10 masks are 1.4 classes of equal size
    assert run_spread([*few[:2], first(few[2], 0)]) is None


def test_at_the_bound_of_a_new_run_its_angle_has_the_level() -> None:
    """Runs whose angle is normal, with two degrees of freedom: another run lies beyond the bound in α of cases."""
    random = np.random.default_rng(1)
    angles = 0.5 + 0.05 * random.normal(size=(4000, 4))
    beyond = 0
    for *known, new in angles:
        rho = 4 * float(np.var(known, ddof=1))
        bound = RunSpread(rho, 2, 3).at_most(float(np.sin(np.mean(known)) ** 2), 0.05)
        beyond += np.sin(new) ** 2 > bound
    assert beyond / 4000 == pytest.approx(0.05, abs=0.01)


def test_without_a_spread_the_share_stays_and_no_share_exceeds_1() -> None:
    assert RunSpread(0.0, 20, 3).at_most(0.07, 0.001) == 0.07
    assert RunSpread(0.9, 2, 3).at_most(0.6, 0.001) == 1.0
    spread = RunSpread(0.02, 20, 3)
    assert 0.05 < spread.at_most(0.05, 0.05) < spread.at_most(0.05, 0.005) < 0.3
    assert from_json(spread.to_json()) == spread
    assert from_json(None) is None

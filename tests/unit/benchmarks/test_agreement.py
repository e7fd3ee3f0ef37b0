"""The figures of a distribution of differences."""

import numpy as np

from benchmarks import agreement


def test_the_overlap_of_the_highest_quarters() -> None:
    ramp = np.arange(16.0).reshape(1, 4, 4)
    assert agreement.overlap(ramp, 2 * ramp).tolist() == [1.0]
    assert agreement.overlap(ramp, -ramp).tolist() == [0.0]
    half = ramp.copy()
    half[0, 3, 2:] = 0.0  # two of the four highest pixels are no longer so
    assert agreement.overlap(ramp, half).tolist() == [2 / 6]


def test_quantiles_run_from_the_smallest_to_the_largest() -> None:
    row = agreement.quantiles(np.array([0.0, 0.1, 0.2, 0.3, 0.4]))
    assert row == {"mean": 0.2, "q0": 0.0, "q25": 0.1, "q50": 0.2, "q75": 0.3, "q90": 0.36, "q100": 0.4}

"""How much the share of moved masks varies between training runs, beyond what the images explain.

The share of the pair of runs i, j is q + uᵢ + uⱼ, with an effect of each run: one whose masks of a class spread more
differs more from all others. With σ² the variance of u, two pairs that share a run differ by the other two runs:

    ½ E (qᵢⱼ − qᵢₖ)² = σ²                 the product of two halves of the images, so that their noise cancels
    ρ = Σ n σ² / Σ n q(1 − q)              over the classes: σ² = ρ·q(1 − q), as of beta-binomial counts
    sin²(arcsin √q + t·√(ρ(1 + 1/R))/2)    what a new run has at most where q is expected, of R runs

On the scale of arcsin √q the deviation is √ρ/2 for every q. A class has R − 1 degrees of freedom, too few for a bound
of its own, so ρ is common to the classes; Student's t has the degrees of all of them, as if the effects of a run on its
classes were independent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RunSpread:
    """rho: the variance of a run's effect on a share q, as a part of q(1 − q). freedom: its degrees of freedom. runs:
    how many training runs it was measured on."""

    rho: float
    freedom: int
    runs: int

    def at_most(self, share: float, alpha: float) -> float:
        """The share that another training run may have where `share` is expected: its upper 1 − alpha bound."""
        from scipy.special import stdtrit

        deviation = math.sqrt(self.rho * (1 + 1 / self.runs)) / 2
        angle = math.asin(math.sqrt(share)) + float(stdtrit(self.freedom, 1 - alpha)) * deviation
        return share if self.rho == 0 else math.sin(min(angle, math.pi / 2)) ** 2

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


@dataclass(frozen=True)
class PairMoves:
    """Which masks of a pair of runs moved. classes, moved, half, weights: (N,), as in `floors.RunPair`."""

    runs: tuple[str, str]
    classes: NDArray[np.integer]
    moved: NDArray[np.bool_]
    half: NDArray[np.integer]
    weights: NDArray[np.floating]


def run_spread(pairs: Sequence[PairMoves]) -> RunSpread | None:
    """The spread between the runs of these pairs; None where no two pairs share a run, as with two runs."""
    adjacent = [(x, y) for x, y in combinations(range(len(pairs)), 2) if _share_a_run(pairs[x], pairs[y])]
    if not adjacent:
        return None
    size = 1 + max(int(pair.classes.max(initial=0)) for pair in pairs)
    # (pairs, halves, classes): the sums of weights, and the shares that moved.
    number, moved = (np.array([_halves(pair, size, only) for pair in pairs]) for only in (False, True))
    known = (number > 0).all((0, 1))
    if not known.any():
        return None
    number, moved = number[:, :, known], moved[:, :, known]
    share = moved / number
    variance = np.mean([_half_square(share[x] - share[y]) for x, y in adjacent], axis=0)
    n, q = number.sum(1).mean(0), (moved.sum(1) / number.sum(1)).mean(0)
    possible = float((n * q * (1 - q)).sum())
    rho = max(float((n * variance).sum()) / possible, 0.0) if possible > 0 else 0.0
    runs = len({run for pair in pairs for run in pair.runs})
    # Of classes with different numbers of images, those with many decide.
    classes = int(n.sum() ** 2 / (n**2).sum())
    return RunSpread(rho, max(classes, 1) * (runs - 1), runs)


def _share_a_run(one: PairMoves, other: PairMoves) -> bool:
    return len({*one.runs, *other.runs}) == 3


def _half_square(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """½ of the product of the differences in the two halves: (2, classes) to (classes,)."""
    return np.asarray(difference[0] * difference[1] / 2)


def _halves(pair: PairMoves, size: int, only_moved: bool) -> NDArray[np.float64]:
    """The sums of the weights in each half and class, (2, classes)."""
    chosen = pair.moved if only_moved else np.full(len(pair.moved), True)
    return np.stack(
        [
            np.bincount(pair.classes[at], pair.weights[at], size)
            for at in (chosen & (pair.half == side) for side in (0, 1))
        ]
    )


def from_json(value: Mapping[str, Any] | None) -> RunSpread | None:
    """What `to_json` wrote."""
    return RunSpread(**value) if value is not None else None

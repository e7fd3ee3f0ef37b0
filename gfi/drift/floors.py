"""Noise floors: the differences of masks when nothing relevant has changed.

    level             the two jobs have                                            expected distances
    same_profile      the same weights, the same execution profile                 exactly 0
    other_profile     the same weights, another device, dtype, batch or threads    small
    other_training    other training runs of the same recipe                       the floor of a release gate

A floor is computed from the pairs of its runs. An image *moved* when its distance exceeds the threshold: the 95 %
quantile of the floor's distances of its class, or of all classes where there are too few of its class. With one
threshold for all, the classes whose masks differ most between runs would hide the moves of the others. p₀, the share of
images that is expected to exceed it although nothing changed, is taken from the floor itself: each pair of runs is
judged by the thresholds of the other pairs, and p₀ is the largest share of any pair, for each class and over all
classes, and at least .05. Over all classes the unit is the image, which counts with the share of its masks that lie
beyond: those of several labels of one image are not independent. With a single pair its images are split in two halves
by a hash of their keys, and each half is judged by the thresholds of the other. A class has a threshold of its own
only if every one of these thresholds rests on a hundred distances of the class, so that p₀ and the masks that are
judged by it always have the same kind of threshold.

The same is measured once more with the flipped images for which both runs explained the same class
(`Floor.with_flips`): two runs differ more on an image that one of them predicts wrongly, so these have thresholds of
their own, and shares of their own for the pairs and for the flipped images (`Floor.class_p0_with_flips`). A class may
have flipped in few images of the floor and in many of a comparison, so the share of flipped images is at least the
upper 95 % bound of the pair of runs that has the most of them.

How much the shares vary between the runs, beyond the noise of images, says how far another run of the recipe may lie
beyond p₀ (`Floor.class_at_most`); it takes three runs (`gfi.drift.run_spread`).

The unit of repetition is the training run: a floor states the number of its runs, and no p-value is computed over them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gfi.drift import run_spread
from gfi.drift.binomial import upper_bound
from gfi.drift.distances import top_area, top_weights
from gfi.drift.errors import DriftError
from gfi.drift.pairs import Counts, PairBlock
from gfi.drift.run_spread import PairMoves, RunSpread

QUANTILE = 0.95
LEAST_P0 = 0.05
LEAST_DISTANCES = 100
"""Of a class, behind each threshold of its own."""
SATURATED = 1 - 1e-6
"""A threshold that no distance exceeds: two runs differ as much as two masks can."""


class FloorLevel(StrEnum):
    """What the two jobs of a pair have in common; at each later level more may differ."""

    SAME_PROFILE = "same_profile"
    OTHER_PROFILE = "other_profile"
    OTHER_TRAINING = "other_training"


LEVEL_WORDS: Mapping[FloorLevel, str] = {
    FloorLevel.SAME_PROFILE: "the same weights on the same execution profile",
    FloorLevel.OTHER_PROFILE: "the same weights on another execution profile",
    FloorLevel.OTHER_TRAINING: "other training runs",
}


def level_of(
    digest_a: str, profile_a: Mapping[str, Any] | None, digest_b: str, profile_b: Mapping[str, Any] | None
) -> FloorLevel:
    """The level of a pair of jobs. digest: of the model's weights. An unknown profile equals no other."""
    if digest_a != digest_b:
        return FloorLevel.OTHER_TRAINING
    known = profile_a is not None and profile_a == profile_b
    return FloorLevel.SAME_PROFILE if known else FloorLevel.OTHER_PROFILE


@dataclass(frozen=True)
class RunPair:
    """The distances of one pair of runs. targets, distances, half, weights: (N,); half: 0 or 1, by the key; weights: 1
    / the number of masks of the image."""

    runs: tuple[str, str]
    targets: NDArray[np.int32]
    distances: NDArray[np.float32]
    half: NDArray[np.int8]
    weights: NDArray[np.float32]
    flips: Mapping[int, int] = field(default_factory=dict)
    images: Mapping[int, int] = field(default_factory=dict)
    """By class: images that the two runs predict differently, of how many that both predict."""
    flipped: "RunPair | None" = None
    """The flipped images for which both runs explained the same class; None if there is none."""

    def of(self, chosen: NDArray[np.bool_]) -> "RunPair":
        """Only these of its masks."""
        measured = self.targets[chosen], self.distances[chosen], self.half[chosen], self.weights[chosen]
        return RunPair(self.runs, *measured)

    @property
    def with_flips(self) -> "RunPair":
        """The pairs and the flipped images for which both runs explained the same class."""
        if self.flipped is None:
            return self
        other = self.flipped
        return RunPair(
            self.runs,
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.distances, other.distances]),
            np.concatenate([self.half, other.half]),
            np.concatenate([self.weights, other.weights]),
        )


@dataclass(frozen=True)
class Floor:
    """A noise floor. runs: how many jobs; pairs: how many pairs of them.

    threshold: a distance above it is a move; class_thresholds: those of the classes that have one of their own. p0:
    expected share over all classes; class_p0: of each class that the floor has, by index. images: pairs of masks behind
    it. flips, class_flips: the same for predictions that differ: the largest share of any pair of runs, at least .05.
    with_flips: the thresholds of pairs and of flipped images for which both runs explained the same class, and the
    shares of the pairs beyond them; None if no two runs have such an image, and then it is this floor. flipped_p0: by
    class, up to which share of flipped images is expected beyond the thresholds of `with_flips`. spread: how much the
    shares of a class vary between training runs; spread_of_all: those over all classes; None with two runs.
    """

    level: FloorLevel
    runs: int
    pairs: int
    threshold: float
    p0: float
    class_p0: Mapping[int, float]
    images: int
    flips: float = LEAST_P0
    class_flips: Mapping[int, float] = field(default_factory=dict)
    with_flips: "Floor | None" = None
    class_thresholds: Mapping[int, float] = field(default_factory=dict)
    flipped_p0: Mapping[int, float] = field(default_factory=dict)
    spread: RunSpread | None = None
    spread_of_all: RunSpread | None = None
    repeated: int = 0
    """Further jobs that were named, with the weights of one of the runs: no training runs of their own."""

    def at_most(self, alpha: float) -> float:
        """The share of all images that another training run of the recipe has at most, at this level."""
        return self.p0 if self.spread_of_all is None else self.spread_of_all.at_most(self.p0, alpha)

    def class_at_most(self, index: int, alpha: float) -> float:
        """The same of a class."""
        p0 = self.class_p0[index]
        return p0 if self.spread is None else self.spread.at_most(p0, alpha)

    def class_p0_with_flips(self, index: int, flipped: float) -> float:
        """The share of the class that is expected beyond the threshold of `with_flips`, where this share of its images
        is flipped, in [0, 1]. Of images of a kind that the floor does not have, all may have moved."""
        of_pairs = (self.with_flips or self).class_p0.get(index, 1.0)
        return (1 - flipped) * of_pairs + flipped * self.flipped_p0.get(index, 1.0)

    @property
    def saturated(self) -> bool:
        """Whether no distance can exceed the threshold, so that this floor decides nothing over all classes."""
        return self.threshold >= SATURATED

    def saturated_in(self, index: int) -> bool:
        """Whether it decides nothing about this class."""
        return self.class_thresholds.get(index, self.threshold) >= SATURATED

    def moved(self, targets: NDArray[np.integer], distances: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which masks moved. targets, distances: (N,)."""
        return _beyond(targets, distances, self.threshold, self.class_thresholds)

    @property
    def repetition(self) -> str:
        """What `repeated` says, to be added to a sentence; empty where there is none."""
        jobs = "job has" if self.repeated == 1 else "jobs have"
        return f"; {self.repeated} more {jobs} the weights of one of them" if self.repeated else ""

    def sentence(self) -> str:
        """The composition of the floor, and the share of moves that it expects."""
        made = f"{self.runs} runs ({LEVEL_WORDS[self.level]}), {self.pairs} pair{'s' * (self.pairs != 1)} of them"
        unknown = ""
        if self.level is FloorLevel.OTHER_TRAINING and self.runs == 2:
            unknown = "; two runs do not show how much training runs vary, three do"
        at = f"{self.threshold:.3f}"
        if self.class_thresholds:
            own = self.class_thresholds.values()
            at = f"{min(own):.3f} to {max(own):.3f} by class"
        return (
            f"the floor of {made} puts the threshold of a move at {at} and expects up to {self.p0:.1%} of all masks"
            " beyond it" + self.repetition + unknown
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values, to be stored."""
        return {
            "level": self.level.value,
            "runs": self.runs,
            "pairs": self.pairs,
            "threshold": self.threshold,
            "p0": self.p0,
            "class_p0": {str(index): p0 for index, p0 in self.class_p0.items()},
            "images": self.images,
            "flips": self.flips,
            "class_flips": {str(index): share for index, share in self.class_flips.items()},
            "class_thresholds": {str(index): value for index, value in self.class_thresholds.items()},
            "with_flips": self.with_flips.to_json() if self.with_flips is not None else None,
            "flipped_p0": {str(index): share for index, share in self.flipped_p0.items()},
            "spread": self.spread.to_json() if self.spread is not None else None,
            "spread_of_all": self.spread_of_all.to_json() if self.spread_of_all is not None else None,
            "repeated": self.repeated,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Floor":
        """The floor that `to_json` wrote."""
        shares = {
            name: {int(index): float(share) for index, share in value[name].items()}
            for name in ("class_p0", "class_flips", "class_thresholds", "flipped_p0")
        }
        nested = cls.from_json(value["with_flips"]) if value["with_flips"] is not None else None
        spreads = {name: run_spread.from_json(value[name]) for name in ("spread", "spread_of_all")}
        level = FloorLevel(value["level"])
        return cls(**{**value, "level": level, **shares, "with_flips": nested, **spreads})


class RunDistances:
    """Collects the distances of two runs of a floor. Holds 13 bytes a mask."""

    def __init__(self) -> None:
        self._pairs: list[_Measured] = []
        self._flipped: list[_Measured] = []

    def add(self, block: PairBlock) -> None:
        """Add pairs."""
        self._pairs.append(_measured(block))

    def add_flipped(self, block: PairBlock) -> None:
        """Add flipped images for which both runs explained the same class."""
        self._flipped.append(_measured(block))

    def run_pair(self, runs: tuple[str, str], counts: Counts) -> RunPair:
        """What was collected. runs: their names. counts: of the pairing, for the share of predictions that differ.
        DriftError without any pair."""
        if not self._pairs:
            raise DriftError(
                f"the runs {' and '.join(runs)} of the floor have no masks of the same images and classes"
            )
        flipped = RunPair(runs, *_joined(self._flipped)) if self._flipped else None
        flips = dict(counts.flips_by_class)
        images = {index: n for index in counts.images_by_class if (n := counts.predicted_of(index))}
        return RunPair(runs, *_joined(self._pairs), flips, images, flipped)


_Measured = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int8], NDArray[np.float32]]
"""targets, distances, halves and weights, (N,) each."""


def _measured(block: PairBlock) -> _Measured:
    distances = top_area(top_weights(block.a), top_weights(block.b)).astype(np.float32)
    half = np.array([crc32(key.encode()) & 1 for key in block.keys], np.int8)
    return block.targets.astype(np.int32), distances, half, block.weights.astype(np.float32)


def _joined(parts: Sequence[_Measured]) -> _Measured:
    targets, distances, half, weights = zip(*parts, strict=True)
    return np.concatenate(targets), np.concatenate(distances), np.concatenate(half), np.concatenate(weights)


def floor_of(level: FloorLevel, runs: int, pairs: Sequence[RunPair]) -> Floor:
    """The floor computed from these pairs of runs. Raises DriftError without a pair."""
    if not pairs:
        raise DriftError("a noise floor needs at least two runs; name further jobs with --floor")
    flips, class_flips = LEAST_P0, dict[int, float]()
    for pair in pairs:
        flips = max(flips, sum(pair.flips.values()) / max(sum(pair.images.values()), 1))
        for index, number_of in pair.images.items():
            share = pair.flips.get(index, 0) / number_of
            class_flips[index] = max(class_flips.get(index, LEAST_P0), share)
    images = sum(len(pair.distances) for pair in pairs)
    alone = _expected(pairs, pairs)
    floor = Floor(
        *(level, runs, len(pairs), alone.threshold, alone.p0, alone.class_p0, images),
        flips=flips,
        class_flips=class_flips,
        class_thresholds=alone.class_thresholds,
    )
    moves = [
        PairMoves(one.runs, one.targets, floor.moved(one.targets, one.distances), one.half, one.weights)
        for one in pairs
    ]
    of_all = [replace(one, classes=np.zeros_like(one.classes)) for one in moves]
    floor = replace(floor, spread=run_spread.run_spread(moves), spread_of_all=run_spread.run_spread(of_all))
    flipped = [pair.flipped for pair in pairs]
    if not any(flipped):
        return floor
    both = [pair.with_flips for pair in pairs]
    of_pairs = _expected(both, pairs)
    nested = replace(
        floor,
        threshold=of_pairs.threshold,
        p0=of_pairs.p0,
        class_p0=of_pairs.class_p0,
        images=sum(len(pair.distances) for pair in both),
        class_thresholds=of_pairs.class_thresholds,
    )
    of_flipped = _expected(both, flipped)
    upper = {index: upper_bound(k, n, 1 - QUANTILE) for index, (k, n) in of_flipped.class_most.items()}
    flipped_p0 = {index: max(share, float(upper[index])) for index, share in of_flipped.class_p0.items()}
    return replace(floor, with_flips=nested, flipped_p0=flipped_p0)


@dataclass(frozen=True)
class _Expected:
    """Thresholds, and the largest shares of any pair beyond those of the other pairs. class_most: (beyond, masks) of
    the pair that has the most masks of a class. Those of several pairs are not added: they are of the same images."""

    threshold: float
    class_thresholds: Mapping[int, float]
    p0: float
    class_p0: Mapping[int, float]
    class_most: Mapping[int, tuple[int, int]]


def _expected(pairs: Sequence[RunPair], judged: Sequence[RunPair | None]) -> _Expected:
    """The thresholds of `pairs`, and how much of `judged` exceeds them, cross-fitted. judged: for each pair those of
    its masks that are counted; None for none of them."""
    p0, class_p0, class_most = LEAST_P0, dict[int, float](), dict[int, tuple[int, int]]()
    folds = _folds(pairs)
    classes = _own_classes([others for fold in folds for others, _ in fold])
    for fold, counted in zip(folds, judged, strict=True):
        if counted is None:
            continue
        beyond = np.zeros(len(counted.distances), np.bool_)
        for others, side in fold:
            chosen = np.full(len(beyond), True) if side is None else counted.half == side
            one = counted.of(chosen)
            beyond[chosen] = _beyond(one.targets, one.distances, *_thresholds(others, classes))
        p0 = max(p0, float(np.average(beyond, weights=counted.weights)))
        present, which = np.unique(counted.targets, return_inverse=True)
        k, n = (np.bincount(which, weights).astype(int).tolist() for weights in (beyond, None))
        for at, index in enumerate(present.tolist()):
            class_p0[index] = max(class_p0.get(index, LEAST_P0), k[at] / n[at])
            most = class_most.get(index, (0, 0))
            class_most[index] = max(most, (k[at], n[at]), key=lambda count: (count[1], count[0]))
    return _Expected(*_thresholds(pairs, classes), p0, class_p0, class_most)


_Fold = tuple[list[RunPair], int | None]
"""The pairs whose thresholds judge a pair, and which half of it they judge; None for all of it."""


def _folds(pairs: Sequence[RunPair]) -> list[list[_Fold]]:
    """For each pair, what judges it."""
    if len(pairs) > 1:
        return [[([*pairs[:at], *pairs[at + 1 :]], None)] for at in range(len(pairs))]
    (pair,) = pairs
    return [[([pair.of(pair.half != side)], side) for side in (0, 1)]]


def _own_classes(groups: Sequence[Sequence[RunPair]]) -> set[int]:
    """The classes of which every group has enough distances for a threshold of their own."""
    enough = []
    for group in groups:
        classes, counts = np.unique(np.concatenate([pair.targets for pair in group]), return_counts=True)
        enough.append(set(classes[counts >= LEAST_DISTANCES].tolist()))
    return set.intersection(*enough)


def _thresholds(pairs: Sequence[RunPair], own: Collection[int]) -> tuple[float, dict[int, float]]:
    """The threshold over all classes, and those of the classes `own`."""
    targets, distances = (
        np.concatenate([getattr(p, name) for p in pairs]) for name in ("targets", "distances")
    )
    order = np.argsort(targets, kind="stable")
    classes, starts = np.unique(targets[order], return_index=True)
    groups = np.split(distances[order], starts[1:]) if len(classes) else []
    by_class = {
        int(index): _quantile(group)
        for index, group in zip(classes, groups, strict=True)
        if int(index) in own
    }
    return _quantile(distances), by_class


def _beyond(
    targets: NDArray[np.integer],
    distances: NDArray[np.floating],
    threshold: float,
    class_thresholds: Mapping[int, float],
) -> NDArray[np.bool_]:
    if not class_thresholds:
        return np.asarray(distances.astype(np.float32) > np.float32(threshold))
    # One more entry than classes: that of masks without a class, −1.
    table = np.full(max(int(targets.max(initial=0)), *class_thresholds) + 2, threshold, np.float32)
    for index, value in class_thresholds.items():
        table[index] = value
    return np.asarray(distances.astype(np.float32) > table[targets])


def _quantile(distances: NDArray[np.float32]) -> float:
    """The smallest distance that at most 5 % exceed; 0 where there is none."""
    return float(np.quantile(distances, QUANTILE, method="inverted_cdf")) if len(distances) else 0.0

"""The results of comparing two jobs, computed from the stream of their pairs.

    accumulator = Accumulator(floor)
    for block in pair_results(a, b, counts, metrics, accumulator.add_flipped): accumulator.add(block)
    comparison = accumulator.comparison(counts)

Memory holds sums for each class (6 kB) and the worst movers, but not the pairs.
"""

import heapq
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gfi.domain.metrics import COLUMNS
from gfi.drift.binomial import mean_bounds, share_change_bounds
from gfi.drift.distances import CELLS, Cells, centres, jensen_shannon, spearman, top_area, top_weights
from gfi.drift.errors import DriftError
from gfi.drift.floors import Floor
from gfi.drift.pairs import MOST_ROWS, Counts, PairBlock
from gfi.drift.places import direction, gained_place

WORST = 24
"""The number of worst movers in a comparison."""
DESCRIBED = 20_000
"""The approximate number of pairs for the descriptive distances: if there are more, a sample by the hash of the key."""
ENERGY = "energy_in_box"
LEAST_EFFECTIVE = 50
"""Images that a deviation rests on, for Student's bounds."""
_ROUNDING = 1e-6
"""Of equal differences, relative: what the sums of squares leave of their deviation."""


@dataclass(frozen=True)
class Mover:
    """One of the pairs with the largest distance. rows: of the image in each manifest."""

    distance: float
    key: str
    row_a: int
    row_b: int
    target: int


@dataclass(frozen=True)
class ClassMoves:
    """A class with n pairs, of which `moved` exceed the threshold; the other fields describe the moved ones.

    distance: the mean of all its pairs. shift_x, shift_y: mean shift of the centre, in widths
    and heights. energy_a, energy_b: mean energy in box, None without boxes. place: where the masks increased most.
    images, flips: images with equal bytes that both jobs predict, and how many of them they predict differently.
    """

    n: int
    moved: int
    distance: float
    shift_x: float
    shift_y: float
    energy_a: float | None
    energy_b: float | None
    place: str | None
    images: int
    flips: int

    @property
    def direction(self) -> str | None:
        """The direction in which the moved masks shifted; None without a common direction."""
        return direction(self.shift_x, self.shift_y)


@dataclass(frozen=True)
class MetricChange:
    """The mean of a metric over the images of pairs in which both are `ok`: a's, b's, and the deviation of the
    differences b − a. An image with several masks counts once, with their mean.

    effective: how many images the deviation rests on, (Σδ²)² / Σδ⁴ with δ = difference − mean: n over their kurtosis,
    so a third of n where they are normal, and m where only m of very many images differ. fell, rose: the sums of all
    decreases and of all increases. alone: further images where only one job is `ok` with a finite number; infinite: of
    these, where one has an infinite one. bounded: whether the metric lies in [0, 1].
    """

    n: int
    mean_a: float
    mean_b: float
    deviation: float = 0.0
    effective: float = 0.0
    fell: float = 0.0
    rose: float = 0.0
    alone: float = 0.0
    infinite: int = 0
    bounded: bool = True
    binary: bool = False

    @property
    def change(self) -> float:
        """b − a."""
        return self.mean_b - self.mean_a

    @property
    def normal(self) -> bool:
        """Whether enough images differ for Student's bounds. With fewer, the few that differ by much may be missing in
        the sample: where 5 of 1,000 images differ, an upper 95 % bound was too low in over half of simulations."""
        varies = self.deviation > _ROUNDING * abs(self.change)
        return not self.binary and varies and self.effective >= LEAST_EFFECTIVE

    def bounds(self, alpha: float) -> tuple[float, float]:
        """One-sided 1 − alpha bounds of the change: Student's where enough images differ, else those that hold for any
        numbers in [0, 1], exact where they are 0 or 1. Images without both numbers may have changed by 1 either way.
        Infinite where nothing bounds them."""
        if self.infinite or not self.n or ((self.alone or not self.normal) and not self.bounded):
            return -math.inf, math.inf
        if self.normal:
            low, high = mean_bounds(self.change, self.deviation, self.n, alpha)
        else:
            low, high = share_change_bounds(self.fell, self.rose, self.n, alpha)
        n = self.n + self.alone
        return (self.n * low - self.alone) / n, (self.n * high + self.alone) / n


@dataclass(frozen=True)
class Comparison:
    """The comparison of two jobs. threshold: None without a floor; then no mask counts as moved.

    images: of the pairs, each once; moved_images: the sum over them of the share of their masks that moved.
    described: pairs behind `means`, the descriptive distances. bit_equal: pairs whose stored masks have equal bytes.
    """

    counts: Counts
    threshold: float | None
    pairs: int
    moved: int
    images: int
    moved_images: float
    bit_equal: int
    largest: float
    distance: float
    described: int
    means: Mapping[str, float]
    classes: Mapping[int, ClassMoves]
    metrics: Mapping[str, MetricChange]
    worst: tuple[Mover, ...]
    flipped: Mapping[int, ClassMoves] = field(default_factory=dict)
    """Of flipped images for which both jobs explained the same class: they are not pairs. `moved` of them is judged by
    the floor that has such images too."""
    beyond_with_flips: Mapping[int, int] = field(default_factory=dict)
    """Pairs of each class whose distance exceeds the threshold of that floor."""
    moved_rows: tuple[tuple[int, int], ...] = ()
    """(a's row, b's row) of the first masks that moved, in the order of keys, at most `pairs.MOST_ROWS`."""

    @property
    def differing(self) -> dict[str, Any]:
        """The rows in each job of images that flipped or moved; `more`: there are others that are not named."""
        pairs = dict.fromkeys((*self.counts.flipped_rows, *self.moved_rows))
        named = len(self.counts.flipped_rows) + len(self.moved_rows)
        return {
            "a": sorted({a for a, _ in pairs}),
            "b": sorted({b for _, b in pairs}),
            "more": named < self.counts.flipped + self.moved,
        }

    @property
    def class_counts(self) -> dict[int, tuple[int, int]]:
        """class → (moved, n), for `verdicts.class_verdicts`."""
        return {index: (moves.moved, moves.n) for index, moves in self.classes.items()}

    @property
    def class_counts_with_flips(self) -> dict[int, tuple[int, int]]:
        """class → (moved, n) of the classes with flipped images that both jobs explained, pairs included."""
        return {
            index: (
                moves.moved + self.beyond_with_flips.get(index, 0),
                moves.n + self.class_counts.get(index, (0, 0))[1],
            )
            for index, moves in self.flipped.items()
        }

    def to_json(self) -> dict[str, Any]:
        """All numbers as JSON values; classes by index, not-a-number as null."""
        return {
            "counts": self.counts.to_json(),
            "statuses": [{"a": a, "b": b, "pairs": n} for (a, b), n in sorted(self.counts.statuses.items())],
            "threshold": self.threshold,
            "pairs": self.pairs,
            "moved": self.moved if self.threshold is not None else None,
            "images": self.images,
            "moved_images": self.moved_images if self.threshold is not None else None,
            "bit_equal": self.bit_equal,
            "largest_distance": self.largest,
            "mean_distance": _finite(self.distance),
            "described": self.described,
            "means": {name: _finite(value) for name, value in self.means.items()},
            "classes": {
                str(index): {name: _finite(value) for name, value in asdict(moves).items()}
                for index, moves in self.classes.items()
            },
            "metrics": {
                name: {"n": m.n, "a": m.mean_a, "b": m.mean_b, "change": m.change, "alone": m.alone}
                for name, m in self.metrics.items()
            },
            "worst": [asdict(mover) for mover in self.worst],
        }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


class _ClassSums:
    """Sums over the pairs of each class, one row per class."""

    _PLAIN = ("n", "distance", "moved", "shifted", "shift_x", "shift_y", "boxed", "energy_a", "energy_b")

    def __init__(self) -> None:
        self._sums = np.zeros((0, len(self._PLAIN)))
        self._gain = np.zeros((0, CELLS * CELLS), np.float32)

    def add(
        self,
        classes: NDArray[np.int64],
        distance: NDArray[np.float64],
        moved: NDArray[np.bool_],
        shift: NDArray[np.float64],
        energy: NDArray[np.float64],
        tops: tuple[Cells, Cells],
    ) -> None:
        """Add pairs. classes, distance, moved: (N,); shift, energy: (N, 2), NaN where unknown; tops: the weights of a's
        and of b's highest area, (N, 28, 28) each."""
        self._grow(int(classes.max(initial=-1)) + 1)
        shifted, boxed = (moved & np.isfinite(values).all(1) for values in (shift, energy))
        columns = [np.ones(len(classes)), distance, moved, shifted, *np.where(shifted[:, None], shift, 0).T]
        columns += [boxed, *np.where(boxed[:, None], energy, 0).T]
        for at, column in enumerate(columns):
            self._sums[:, at] += np.bincount(classes, column, minlength=len(self._sums))
        for row in np.flatnonzero(moved):
            self._gain[classes[row]] += (tops[1][row] - tops[0][row]).reshape(-1)

    def _grow(self, classes: int) -> None:
        if classes > len(self._sums):
            more = ((0, classes - len(self._sums)), (0, 0))
            self._sums, self._gain = np.pad(self._sums, more), np.pad(self._gain, more)

    def moves(self, counts: Counts) -> dict[int, ClassMoves]:
        """The results for each class that has a pair, from the sums."""
        return {int(index): self._moves(int(index), counts) for index in np.flatnonzero(self._sums[:, 0])}

    def _moves(self, index: int, counts: Counts) -> ClassMoves:
        sums = dict(zip(self._PLAIN, self._sums[index].tolist(), strict=True))
        boxed = sums["boxed"]
        return ClassMoves(
            n=int(sums["n"]),
            moved=int(sums["moved"]),
            distance=sums["distance"] / sums["n"],
            shift_x=sums["shift_x"] / max(sums["shifted"], 1),
            shift_y=sums["shift_y"] / max(sums["shifted"], 1),
            energy_a=sums["energy_a"] / boxed if boxed else None,
            energy_b=sums["energy_b"] / boxed if boxed else None,
            place=gained_place(self._gain[index].reshape(CELLS, CELLS)),
            images=counts.predicted_of(index),
            flips=counts.flips_by_class[index],
        )


class Accumulator:
    """Accumulates sums over pairs. floor: says which distance is a move; without one no mask counts as moved.
    expected: the approximate number of pairs, for sampling."""

    def __init__(self, floor: Floor | None, expected: int = 0) -> None:
        self._floor = floor
        self._floor_with_flips = floor.with_flips or floor if floor is not None else None
        self._beyond_with_flips: Counter[int] = Counter()
        self._one_in = max(1, expected // DESCRIBED)
        self._classes, self._flipped = _ClassSums(), _ClassSums()
        self._described: dict[str, list[float]] = {"spearman": [0.0, 0], "jensen_shannon": [0.0, 0]}
        self._pairs_described = 0
        self._metrics: dict[str, NDArray[np.float64]] = {}
        self._moved_rows: list[tuple[int, int]] = []
        self._worst: list[tuple[float, str, int, int, int]] = []
        self._pairs = self._moved = self._images = self._bit_equal = 0
        self._largest = self._distance = self._moved_images = 0.0

    def add(self, block: PairBlock) -> None:
        """Add a block of pairs. Raises DriftError if the distance of a mask from itself is not 0, which would be a bug
        of gfi."""
        top_a, top_b = top_weights(block.a), top_weights(block.b)
        if self._pairs == 0 and top_area(top_a, top_a).any():
            raise DriftError("the self-test of the comparison failed: a mask has a distance from itself")
        distance = top_area(top_a, top_b)
        # Equal masks have distance 0, whatever the order of summation.
        same = np.flatnonzero(block.bit_equal)
        distance[same[(block.a[same] == block.b[same]).all((1, 2))]] = 0.0
        beyond = _moved(block, distance, self._floor)
        with_flips = _moved(block, distance, self._floor_with_flips)
        self._beyond_with_flips.update(block.targets[with_flips].tolist())
        self._pairs += len(block)
        self._moved += int(beyond.sum())
        self._images += int(block.images[-1]) + 1 if len(block) else 0
        self._moved_images += float(block.weights[beyond].sum())
        self._bit_equal += int(block.bit_equal.sum())
        named = np.flatnonzero(beyond)[: MOST_ROWS - len(self._moved_rows)]
        self._moved_rows += zip(block.rows_a[named].tolist(), block.rows_b[named].tolist(), strict=True)
        self._largest = max(self._largest, float(distance.max(initial=0.0)))
        self._distance += float(distance.sum())
        self._add_classes(self._classes, block, distance, beyond, (top_a, top_b))
        self._add_metrics(block)
        self._describe(block)
        self._add_worst(block, distance)

    def add_flipped(self, block: PairBlock) -> None:
        """Add flipped images for which both jobs explained the same class."""
        top_a, top_b = top_weights(block.a), top_weights(block.b)
        distance = top_area(top_a, top_b)
        beyond = _moved(block, distance, self._floor_with_flips)
        self._add_classes(self._flipped, block, distance, beyond, (top_a, top_b))

    def _add_classes(
        self,
        sums: _ClassSums,
        block: PairBlock,
        distance: NDArray[np.float64],
        beyond: NDArray[np.bool_],
        tops: tuple[Cells, Cells],
    ) -> None:
        (ax, ay), (bx, by) = centres(block.a), centres(block.b)
        nothing = np.full(len(block), np.nan)
        energy = np.stack(block.metrics.get(ENERGY, (nothing, nothing)), axis=1)
        sums.add(block.targets, distance, beyond, np.stack([bx - ax, by - ay], axis=1), energy, tops)

    def _add_metrics(self, block: PairBlock) -> None:
        for name, (a, b) in block.metrics.items():
            # What is not ok has no number.
            a, b = np.where(block.ok_a, a, np.nan), np.where(block.ok_b, b, np.nan)
            known = np.isfinite(a) & np.isfinite(b)
            change = b[known] - a[known]
            values = np.stack([a[known], b[known], change, np.maximum(-change, 0), np.maximum(change, 0)])
            x, y, difference, fell, rose = _image_means(values, block.images[known])
            sums = [len(x), x.sum(), y.sum(), *((difference**power).sum() for power in range(1, 5))]
            # A number that is not finite is stored as null, as one that is not defined of an image without a box.
            alone = ~known & ~(np.isnan(a) & np.isnan(b))
            infinite = np.isinf(a) | np.isinf(b)
            sums += [fell.sum(), rose.sum(), block.weights[alone].sum(), infinite.sum()]
            self._metrics[name] = self._metrics.get(name, np.zeros(len(sums))) + np.array(sums)

    def _describe(self, block: PairBlock) -> None:
        rows = np.arange(len(block))
        if self._one_in > 1:
            rows = np.array(
                [row for row in rows if crc32(block.keys[row].encode()) % self._one_in == 0], np.intp
            )
        if not len(rows):
            return
        self._pairs_described += len(rows)
        for name, values in (
            ("spearman", spearman(block.a[rows], block.b[rows])),
            ("jensen_shannon", jensen_shannon(block.a[rows], block.b[rows])),
        ):
            known = values[np.isfinite(values)]
            self._described[name][0] += float(known.sum())
            self._described[name][1] += len(known)

    def _add_worst(self, block: PairBlock, distance: NDArray[np.float64]) -> None:
        for row in np.argsort(-distance, kind="stable")[:WORST]:
            mover = (
                float(distance[row]),
                str(block.keys[row]),
                int(block.rows_a[row]),
                int(block.rows_b[row]),
                int(block.targets[row]),
            )
            if distance[row] > 0:
                (heapq.heappush if len(self._worst) < WORST else heapq.heappushpop)(self._worst, mover)

    def comparison(self, counts: Counts) -> Comparison:
        """The comparison, from the sums."""
        return Comparison(
            counts=counts,
            threshold=self._floor.threshold if self._floor is not None else None,
            pairs=self._pairs,
            moved=self._moved,
            images=self._images,
            moved_images=round(self._moved_images, 6),  # three thirds are one
            bit_equal=self._bit_equal,
            largest=self._largest,
            distance=self._distance / self._pairs if self._pairs else float("nan"),
            described=self._pairs_described,
            means={name: total / n if n else float("nan") for name, (total, n) in self._described.items()},
            classes=self._classes.moves(counts),
            metrics={name: _change(name, sums) for name, sums in self._metrics.items() if sums.any()},
            flipped=self._flipped.moves(counts),
            beyond_with_flips=dict(self._beyond_with_flips),
            moved_rows=tuple(self._moved_rows),
            worst=tuple(Mover(*mover) for mover in sorted(self._worst, reverse=True)),
        )


def _moved(block: PairBlock, distance: NDArray[np.float64], floor: Floor | None) -> NDArray[np.bool_]:
    return np.zeros(len(block), np.bool_) if floor is None else floor.moved(block.targets, distance)


def _image_means(values: NDArray[np.float64], images: NDArray[np.intp]) -> NDArray[np.float64]:
    """The means over the masks of each image. values: (numbers, N); images: (N,)."""
    _, which, masks = np.unique(images, return_inverse=True, return_counts=True)
    return np.stack([np.bincount(which, row, len(masks)) / masks for row in values])


def _change(name: str, sums: NDArray[np.float64]) -> MetricChange:
    n, a, b, difference, squares, cubes, fourths, fell, rose, alone, infinite = sums.tolist()
    mean = difference / max(n, 1)
    second = max(squares - n * mean**2, 0.0)
    fourth = fourths - 4 * mean * cubes + 6 * mean**2 * squares - 3 * n * mean**4
    return MetricChange(
        *(int(n), a / max(n, 1), b / max(n, 1), math.sqrt(second / max(n - 1, 1))),
        effective=min(second**2 / fourth, n) if fourth > 0 else 0.0,
        **{
            "fell": round(fell, 6),
            "rose": round(rose, 6),
            "alone": round(alone, 6),
            "infinite": int(infinite),
        },
        bounded=COLUMNS[name].bounded,
        binary=COLUMNS[name].binary,
    )

"""How often the default gate errs, in simulation: `make bench-drift-errors`.

Ten classes; the masks of a training run are points that scatter around the object. A run scatters by its own factor in
each class, exp(`spread`·z) with z normal: it says how much training runs of one recipe differ. A share `flips` of
images is predicted otherwise by two runs, and there the masks scatter three times as widely. With `labels` > 1 an image
has masks of so many classes, four fifths of whose scatter is common. A floor of `runs` such runs judges

    another run    which fails by chance only; with `more_flips` further images that are predicted otherwise
    corner         the same run, but all masks of one class lie elsewhere, and most of its images flip

Writes benchmarks/results/drift_errors.json, a row for each case: `false` gates of `gates` that failed by a class or
over all classes together; `passed` over all classes; `found` corners that failed by their class. The table in
docs/drift.md is made of it (`--table` prints it).
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.drift.floors import Floor, FloorLevel, RunPair, floor_of
from gfi.drift.verdicts import (
    MAX_FLIPPED,
    Tolerance,
    Verdict,
    flipped_classes,
    mask_verdicts,
    pooled_verdict,
)

RESULTS_FILE = Path(__file__).parent / "results" / "drift_errors.json"
CLASSES = 10
CORNER = 3
"""The class whose masks lie elsewhere."""
UNLIKE = 0.5
"""The deviation of the logarithm of a class's scatter: the widest of ten classes scatters about five times as widely as
the narrowest, as far as masks of `make bench-drift` differ between classes."""


@dataclass(frozen=True)
class Case:
    """What is simulated. n: masks of a class."""

    runs: int
    n: int
    spread: float = 0.0
    flips: float = 0.2
    more_flips: float = 0.0
    labels: int = 1


@dataclass(frozen=True)
class Run:
    """The masks of one training run: where each lies (N, 2), and whether its image is predicted wrongly (N,)."""

    at: NDArray[np.float64]
    wrong: NDArray[np.bool_]


class Dataset:
    """The masks of a case, and training runs over them. targets, image: (N,)."""

    def __init__(self, case: Case, random: np.random.Generator) -> None:
        self.case, self.random = case, random
        images = case.n * CLASSES // case.labels
        self.image = np.repeat(np.arange(images), case.labels)
        self.targets = (self.image + np.tile(np.arange(case.labels), images)) % CLASSES
        self.half = random.integers(0, 2, images)[self.image].astype(np.int8)
        self.hard = np.exp(0.3 * random.normal(size=images))[self.image]
        self.scatter = np.exp(UNLIKE * random.normal(size=CLASSES))

    def run(self, more_flips: float = 0.0) -> Run:
        """Another training run."""
        common = 0.8 if self.case.labels > 1 else 0.0
        size = (len(self.image), 2)
        drawn = np.sqrt(common) * self.random.normal(size=size)[self.image] if common else 0.0
        drawn = drawn + np.sqrt(1 - common) * self.random.normal(size=size)
        # Of two runs that are each wrong in a share w of images, 2w(1 − w) are predicted otherwise.
        share = (1 - np.sqrt(1 - 2 * self.case.flips)) / 2
        wrong = (self.random.random(len(self.image)) < share + more_flips)[self.image]
        factor = self.scatter * np.exp(self.case.spread * self.random.normal(size=CLASSES))
        return Run(drawn * (factor[self.targets] * self.hard * np.where(wrong, 3, 1))[:, None], wrong)

    def cornered(self, run: Run) -> Run:
        """The run, with all masks of one class elsewhere, and most of its images predicted otherwise."""
        chosen = self.targets == CORNER
        elsewhere = np.where(chosen[:, None], run.at + 100.0, run.at)
        return Run(elsewhere, np.where(chosen, self.random.random(len(chosen)) < 0.8, run.wrong))

    def floor(self, runs: Sequence[Run]) -> Floor:
        """The floor of these runs."""
        pairs = [self._pair((str(i), str(j)), runs[i], runs[j]) for i, j in combinations(range(len(runs)), 2)]
        return floor_of(FloorLevel.OTHER_TRAINING, len(runs), pairs)

    def _pair(self, names: tuple[str, str], one: Run, other: Run) -> RunPair:
        distance, flipped = _distance(one, other), one.wrong != other.wrong
        weights = np.full(len(distance), 1 / self.case.labels, np.float32)

        images = dict(enumerate(np.bincount(self.targets, minlength=CLASSES).tolist()))
        flips = dict(enumerate(np.bincount(self.targets[flipped], minlength=CLASSES).tolist()))
        both = RunPair(names, self.targets.astype(np.int32), distance, self.half, weights)
        apart = both.of(flipped) if flipped.any() else None
        return replace(both.of(~flipped), flips=flips, images=images, flipped=apart)

    def judged(self, one: Run, other: Run, floor: Floor) -> tuple[set[int], Verdict]:
        """The classes that fail, and the verdict over all of them."""
        distance, flipped = _distance(one, other), one.wrong != other.wrong
        beyond = floor.moved(self.targets, distance)
        with_flips = (floor.with_flips or floor).moved(self.targets, distance)
        of_pairs, of_all = (
            self._counts(beyond, ~flipped),
            self._counts(with_flips, np.full(len(flipped), True)),
        )
        here = set(self.targets[flipped].tolist())
        tolerance = Tolerance()
        made = mask_verdicts(
            of_pairs, {c: count for c, count in of_all.items() if c in here}, floor, tolerance
        )
        flips = flipped_classes(self._counts(flipped, flipped | True), floor, MAX_FLIPPED, tolerance.alpha)
        failed = {c for c, moved in made.classes.items() if moved.verdict is Verdict.FAIL}
        moved = float(beyond[~flipped].sum()) / self.case.labels
        pooled = pooled_verdict(moved, int((~flipped).sum()) // self.case.labels, floor, tolerance)
        return failed | set(made.failed_with_flips) | set(flips), pooled.verdict

    def _counts(self, counted: NDArray[np.bool_], among: NDArray[np.bool_]) -> dict[int, tuple[int, int]]:
        k, n = (np.bincount(self.targets[at], minlength=CLASSES) for at in (counted & among, among))
        return dict(enumerate(zip(k.tolist(), n.tolist(), strict=True)))


def _distance(one: Run, other: Run) -> NDArray[np.float32]:
    """In [0, 1), rising with how far the masks are apart: only the order of distances matters."""
    squared = ((one.at - other.at) ** 2).sum(1)
    return np.asarray(squared / (8 + squared), np.float32)


def errors(case: Case, gates: int) -> dict[str, Any]:
    """A row: the case, and how many of so many gates failed."""
    false = passed = found = 0
    for number in range(gates):
        seed = [number, *(round(100 * value) for value in asdict(case).values())]
        data = Dataset(case, np.random.default_rng(seed))
        runs = [data.run() for _ in range(case.runs)]
        floor, other = data.floor(runs), data.run(case.more_flips)
        failed, together = data.judged(runs[0], other, floor)
        false += bool(failed) or together is Verdict.FAIL
        passed += together is Verdict.PASS
        found += CORNER in data.judged(runs[0], data.cornered(other), floor)[0]
    return {**asdict(case), "gates": gates, "false": false, "passed": passed, "found": found}


def cases() -> Iterator[Case]:
    """All that are simulated."""
    for runs, spread, n in product((2, 3, 4), (0.0, 0.2, 0.3), (20, 30, 60, 200, 600)):
        yield Case(runs, n, spread)
    for runs in (2, 3, 4):
        yield from (Case(runs, n, more_flips=0.2) for n in (30, 600))
        yield from (Case(runs, 100, spread, labels=5) for spread in (0.0, 0.2))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as the table of docs/drift.md."""
    lines = [
        "| training runs differ by | masks a class | false fails: floor of 2 runs | 3 | 4"
        " | corner found: 2 runs | 3 | 4 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    known: dict[tuple[Any, ...], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        known.setdefault((row["labels"], row["more_flips"], row["spread"], row["n"]), {})[row["runs"]] = row
    for (labels, more_flips, spread, n), of_runs in known.items():
        what = f"{100 * spread:.0f} %" if spread else "nothing but noise"
        what += f", {100 * more_flips:.0f} points more flips" if more_flips else ""
        what += f", {labels} labels an image" if labels > 1 else ""
        shares = [
            f"{100 * of_runs[runs][name] / of_runs[runs]['gates']:.1f} %"
            for name in ("false", "found")
            for runs in (2, 3, 4)
        ]
        lines.append(f"| {what} | {n} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gates", type=int, default=200)
    parser.add_argument("--output", type=Path, default=RESULTS_FILE)
    parser.add_argument("--table", action="store_true", help="only print the table of the stored rows")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.output.read_text())["rows"]))
        return
    rows = []
    for case in cases():
        rows.append(errors(case, options.gates))
        print(json.dumps(rows[-1]), flush=True)
    options.output.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

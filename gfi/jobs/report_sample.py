"""Which images a report shows, and its numbers by class: one pass over the columns of a job's results.

The images are drawn at random from strata, a class and a status each, in proportion to their sizes and at least one of
each while there is room; the best and the worst of the job are always among them. The same seed draws the same images.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.domain.intervals import MOST_DRAWN, Interval, bootstrap
from gfi.domain.job import JobConfig
from gfi.domain.metrics import CATALOGUE, COLUMNS, is_bounded
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.jobs.submit import class_index
from gfi.report.measures import Classes, ClassRow
from gfi.report.summary import Summary
from gfi.store import queries
from gfi.store.database import Database

MOST_CLASSES = 50
EXTREMES = 6
"""Images that are shown as the best, and as the worst."""
_FIRST = ("row", "label", "target", "prediction", "status", "target_rank")

Place = tuple[int, int]
"""The row of an image in the manifest, and the rank of a class of it."""


@dataclass(frozen=True)
class Chosen:
    """places: of the results to show, ascending. best, worst: those at the ends of `ranked`.
    intervals: of numbers over all explained images. sentence: how the images were chosen."""

    places: Sequence[Place]
    best: Sequence[Place]
    worst: Sequence[Place]
    ranked: str
    intervals: Mapping[str, Interval | None]
    classes: Classes | None
    sentence: str


def choose(database: Database, job: queries.Job, summary: Summary, limit: int, seed: int) -> Chosen:
    """Draw at most `limit` images of a job, and compute its numbers by class."""
    ranked = ranked_by(job.config, summary)
    shown = list(dict.fromkeys(("kept", "removed", *([ranked] if ranked else []))))
    known = [mean.name for mean in summary.means]
    columns = known if summary.ok <= MOST_DRAWN else [name for name in shown if name in known]
    pages = queries.iterate_columns(database, job.id, [*_FIRST, *columns])
    kept = [row for page in pages for row in page if row[5] == 0 or job.config.each_label]
    ok = np.array([row[4] == ImageStatus.OK for row in kept], bool)
    numbers = {
        name: np.array([_number(row[6 + at]) for row in kept], np.float64) for at, name in enumerate(columns)
    }
    intervals = {
        name: bootstrap(values[ok], seed, share=is_bounded(name)) for name, values in numbers.items()
    }
    index = class_index(job.model) if job.model and "class_names" in job.model else None
    groups = [str(row[1]) if row[1] is not None else _name(job, row[2]) for row in kept]
    right = np.array(
        [
            _right(index.find(row[1]) if index and row[1] is not None else None, _seen(job, row[3], row[4]))
            for row in kept
        ]
    )
    best, worst = _ends(ok, numbers.get(ranked), ranked, min(EXTREMES, limit // 2))
    strata = [f"{group}\0{row[4]}" for group, row in zip(groups, kept, strict=True)]
    drawn = draw_strata(strata, limit, seed)
    forced = np.array(sorted({*best, *worst}), np.int64)
    chosen = _with_forced(drawn, forced, limit)
    sentence = (
        f"all {len(kept):,}"
        if len(chosen) == len(kept)
        else f"{len(chosen):,} of {len(kept):,}, drawn by class and status (seed {seed})"
    )
    classes = class_rows(groups, ok, right, {name: numbers[name] for name in shown if name in numbers}, seed)

    def places(positions: Sequence[int]) -> list[Place]:
        return [(kept[at][0], kept[at][5]) for at in positions]

    return Chosen(
        *(places(chosen.tolist()), places(best), places(worst)), ranked, intervals, classes, sentence
    )


def ranked_by(config: JobConfig, summary: Summary) -> str:
    """The column by which images are best and worst: the first metric of the job that has a direction, else `kept`."""
    there = {mean.name for mean in summary.means}
    asked = (
        column.name for name in config.metrics if name in CATALOGUE for column in CATALOGUE[name].columns
    )
    for name in (*asked, "kept"):
        if name in there and COLUMNS[name].better and not name.startswith("pointing"):
            return name
    return ""


def draw_strata(strata: Sequence[str], limit: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most `limit` images, ascending: from each stratum in proportion to its size.

    Every stratum gives at least one image where there are no more strata than `limit`; otherwise the largest do.
    """
    if len(strata) <= limit:
        return np.arange(len(strata))
    _, of, sizes = np.unique(
        np.asarray(strata, dtype=object).astype(str), return_inverse=True, return_counts=True
    )
    shares = quotas(sizes, limit)
    rng = np.random.default_rng(seed)
    # In a random order within each stratum, the first images are a draw without replacement.
    order = np.lexsort((rng.random(len(of)), of))
    place = np.arange(len(of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[place < shares[of[order]]])


def quotas(sizes: NDArray[np.integer], limit: int) -> NDArray[np.int64]:
    """How many images of strata of these sizes are drawn, together `limit`.

    >>> quotas(np.array([90, 9, 1]), 10).tolist()
    [8, 1, 1]
    """
    if len(sizes) >= limit:
        shares = np.zeros(len(sizes), np.int64)
        shares[np.argsort(-sizes, kind="stable")[:limit]] = 1
        return shares
    exact = sizes * (limit / sizes.sum())
    shares = np.maximum(1, np.floor(exact)).astype(np.int64)
    while shares.sum() > limit:  # the ones of small strata are taken from the largest share
        shares[np.argmax(np.where(shares > 1, shares - exact, -np.inf))] -= 1
    while shares.sum() < limit:
        shares[np.argmax(np.where(shares < sizes, exact - shares, -np.inf))] += 1
    return shares


def class_rows(
    groups: Sequence[str],
    ok: NDArray[np.bool_],
    right: NDArray[np.float64],
    numbers: Mapping[str, NDArray[np.float64]],
    seed: int,
) -> Classes | None:
    """The classes with the most images. right: (n,) 1, 0 or not-a-number. None where there is one class only."""
    names, of, sizes = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    if len(names) < 2:
        return None
    order = np.argsort(of, kind="stable")
    ends = np.cumsum(sizes)
    made = []
    for group in np.argsort(-sizes, kind="stable")[:MOST_CLASSES].tolist():
        members = order[ends[group] - sizes[group] : ends[group]]
        explained = members[ok[members]]
        known = right[members][np.isfinite(right[members])]
        made.append(
            ClassRow(
                name=str(names[group]),
                images=len(members),
                explained=len(explained),
                right=float(known.mean()) if len(known) else None,
                numbers={name: _mean(name, values[explained], seed) for name, values in numbers.items()},
            )
        )
    return Classes(made, list(numbers), len(names) - len(made))


def _mean(name: str, values: NDArray[np.float64], seed: int) -> tuple[float, Interval | None] | None:
    known = values[np.isfinite(values)]
    return (float(known.mean()), bootstrap(known, seed, share=is_bounded(name))) if len(known) else None


def _ends(
    ok: NDArray[np.bool_], values: NDArray[np.float64] | None, ranked: str, most: int
) -> tuple[list[int], list[int]]:
    """The positions of the best and of the worst explained images; of few images none twice."""
    if values is None:
        return [], []
    there = np.flatnonzero(ok & np.isfinite(values))
    ordered = there[np.argsort(values[there], kind="stable")]
    if COLUMNS[ranked].better == "higher":
        ordered = ordered[::-1]
    count = min(most, len(ordered) // 2)
    if not count:
        return [], []
    return ordered[:count].tolist(), ordered[::-1][:count].tolist()


def _with_forced(drawn: NDArray[np.int64], forced: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """The drawn positions with those that must be among them, in place of the last ones where there is no room."""
    others = np.setdiff1d(drawn, forced)
    room = max(0, limit - len(forced))
    if len(others) > room:  # evenly, so that no class is left out as a whole
        others = others[np.linspace(0, len(others) - 1, room).astype(np.int64)] if room else others[:0]
    return np.sort(np.concatenate([others, forced[:limit]]))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _name(job: queries.Job, index: int | None) -> str:
    if index is None:
        return "without a class"
    names = job.class_names
    return names[index] if index < len(names) else f"class {index}"


def _seen(job: queries.Job, prediction: int | None, status: str) -> int | None:
    """The prediction; -1, no class, for a label that was not found: where each label has a result of its own."""
    missed = prediction is None and job.config.decides_each_label and status not in UNUSABLE
    return -1 if missed else prediction


def _right(label: int | None, prediction: int | None) -> float:
    return math.nan if label is None or prediction is None else float(label == prediction)

"""Streams of results for the tests of drift."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gfi.drift.floors import Floor, FloorLevel
from gfi.drift.pairs import BOX, DRAWING, RESULTS, Counts, PairBlock, pair_results

DRAWN = dict(zip(DRAWING, (7, 7, 56, 56, 0), strict=True))
SEEN = dict(zip(BOX, (0.0, 0.0, 56.0, 56.0), strict=True))


def blob(row: float, column: float, width: float = 1.2, size: int = 7) -> NDArray[np.float32]:
    """A grid (size, size) in [0, 1] with one round spot at (row, column)."""
    y, x = np.mgrid[:size, :size]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2)).astype(np.float32)


def result(key: str, grid: NDArray[np.float32] | None = None, **other: Any) -> dict[str, Any]:
    """One result; `other` replaces columns."""
    row: dict[str, Any] = {
        "key": key,
        "version": "v1",
        "row": 0,
        "target_rank": 0,
        "target": 1,
        "prediction": 1,
    }
    row |= {"status": "ok" if grid is not None else "error", **DRAWN, **SEEN}
    row["grid"] = None if grid is None else np.ascontiguousarray(grid, "<f4").tobytes()
    return row | other


def table(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str] = ()) -> pa.Table:
    """Results as a table, in the order of keys."""
    schema = pa.schema([*RESULTS, *((name, pa.float64()) for name in metrics)])
    ordered = sorted(rows, key=lambda row: (row["key"], row["target_rank"]))
    return pa.Table.from_pylist([dict(row) for row in ordered], schema=schema)


def pairs_of(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], metrics: Sequence[str] = ()
) -> tuple[list[PairBlock], Counts]:
    """The pairs of two lists of results, and the counts of their images."""
    counts = Counts()
    blocks = list(pair_results([table(a, metrics)], [table(b, metrics)], counts, metrics))
    return blocks, counts


def floor(threshold: float = 0.97, classes: int = 3, **other: Any) -> Floor:
    """A floor of four runs that expects 5 % of each class beyond the threshold; `other` replaces fields."""
    shares = dict.fromkeys(range(classes), 0.05)
    return replace(Floor(FloorLevel.OTHER_TRAINING, 4, 6, threshold, 0.05, shares, 1000), **other)


def run(
    random: np.random.Generator,
    classes: int,
    images: int,
    *,
    noise: float = 0.7,
    corner: Mapping[int, float] = {},
) -> Iterator[dict[str, Any]]:
    """A training run over the same images: spots near the object, with independent noise for each run. corner: class →
    the share of its masks that lie in the lower left corner."""
    for target in range(classes):
        for image in range(images):
            where = np.array([2.0 + image % 3, 2.0 + image % 5 / 2])
            if random.random() < corner.get(target, 0.0):
                where = np.array([6.0, 0.0])
            spot = blob(*(where + noise * random.normal(size=2)))
            yield result(f"{target}/{image:05d}.jpg", spot, target=target, prediction=target, row=image)

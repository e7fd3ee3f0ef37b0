"""Bootstrap intervals of a job's numbers by any column (class, split, site …), with what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gfi.domain.digests import JSON
from gfi.domain.intervals import bootstrap
from gfi.domain.manifest_columns import Kind, find_column
from gfi.domain.metrics import NUMBERS, is_bounded
from gfi.domain.statuses import ImageStatus
from gfi.jobs.submit import Invalid
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import LimitExceeded

MOST_RESULTS = 200_000
"""Results that are read for one answer."""
MOST_GROUPS = 100


@dataclass(frozen=True)
class IntervalGroup:
    """The images with one value of a column; None for those without.

    numbers: by column, {mean, low, high, images, missing}: `missing` explained images do not have the number; low and
    high are None for fewer than two. left_out: images that are in no mean, by their status.
    """

    value: str | float | None
    images: int
    explained: int
    left_out: Mapping[str, int]
    numbers: Mapping[str, JSON]

    def to_json(self) -> JSON:
        """Ready for JSON."""
        return {
            "value": self.value,
            "images": self.images,
            "explained": self.explained,
            "left_out": dict(self.left_out),
            "numbers": dict(self.numbers),
        }


def column_of(by: str, kinds: Mapping[str, Kind]) -> str:
    """The column to group by: one of results, or a further one of the manifest. Raises Invalid."""
    if by in queries.GROUPED:
        return by
    try:
        return find_column(by, kinds)
    except ValueError as error:
        raise Invalid(str(error)) from None


def intervals_by(
    database: Database, job: queries.Job, by: str, filters: queries.Filters, seed: int = 0
) -> tuple[list[IntervalGroup], bool]:
    """The largest groups of a job with bootstrap intervals over images, and whether there are more.

    Raises Invalid for an unknown column, and LimitExceeded for more than MOST_RESULTS results.
    """
    by = column_of(by, queries.kinds_of(job.metadata))
    values: dict[Any, list[list[float]]] = {}
    statuses: dict[Any, dict[str, int]] = {}
    read = 0
    further = by not in queries.GROUPED
    for result in queries.iterate_results(database, job.id, filters=filters, columns=further):
        if result.target_rank and not job.config.each_label:
            continue
        read += 1
        if read > MOST_RESULTS:
            raise LimitExceeded(
                f"more than {MOST_RESULTS:,} results; narrow them with filters, or export them and compute there"
            )
        value = result.columns.get(by) if further else getattr(result, by)
        value = str(value) if isinstance(value, ImageStatus) else value
        counted = statuses.setdefault(value, {})
        counted[str(result.status)] = counted.get(str(result.status), 0) + 1
        if result.status is ImageStatus.OK:
            numbers = (result.number(name) for name in NUMBERS)
            values.setdefault(value, []).append([np.nan if n is None else float(n) for n in numbers])
    order = sorted(statuses, key=lambda value: (-sum(statuses[value].values()), value is None, str(value)))
    groups = [_group(value, statuses[value], values.get(value, []), seed) for value in order[:MOST_GROUPS]]
    return groups, len(order) > MOST_GROUPS


def _group(value: Any, counts: Mapping[str, int], rows: list[list[float]], seed: int) -> IntervalGroup:
    table = np.array(rows, np.float64).reshape(len(rows), len(NUMBERS))
    numbers: dict[str, JSON] = {}
    for at, name in enumerate(NUMBERS):
        known = table[:, at][np.isfinite(table[:, at])]
        if len(known):
            interval = bootstrap(known, seed, share=is_bounded(name))
            numbers[name] = {
                "mean": float(known.mean()),
                "low": None if interval is None else interval.low,
                "high": None if interval is None else interval.high,
                "images": len(known),
                "missing": len(rows) - len(known),
            }
    left_out = {status: count for status, count in counts.items() if status != ImageStatus.OK}
    return IntervalGroup(value, sum(counts.values()), len(rows), left_out, numbers)

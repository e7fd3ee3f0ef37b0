"""The further columns of a job's manifest: of single images, as conditions on results, and results grouped by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq, ge, gt, le, lt, ne
from typing import Any, cast

import sqlalchemy as sa

from gfi.domain.manifest_columns import Kind, Value, Where
from gfi.store.tables import image_columns, jobs, results

_COMPARE = {"=": eq, "!=": ne, ">=": ge, "<=": le, ">": gt, "<": lt}


@dataclass(frozen=True)
class Group:
    """The images of a job with one value of a column; `value` is None for images without one.

    counts: images by status, without zeros. means: of each number over the `ok` images that have it, and how many.
    """

    value: str | float | None
    images: int
    counts: Mapping[str, int] = field(default_factory=dict)
    means: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        means = {name: {"mean": mean, "count": count} for name, (mean, count) in self.means.items()}
        return {"value": self.value, "images": self.images, "counts": dict(self.counts), "means": means}


def kinds_of(metadata: Mapping[str, Any] | None) -> dict[str, Kind]:
    """The columns of a job and their types, from the job's metadata; none for a job that an earlier version planned."""
    return cast(dict[str, Kind], dict((metadata or {}).get("columns") or {}))


def condition(where: Where) -> sa.ColumnElement[bool]:
    """The condition that the image of a result satisfies `where`. An image without a value satisfies only `name=`."""
    values = image_columns.alias()
    same = sa.exists().where(
        values.c.job_id == results.c.job_id, values.c.name == where.name, values.c.row == results.c.row
    )
    if where.value is None:
        return ~same
    column = values.c.text if isinstance(where.value, str) else values.c.number
    return same.where(_COMPARE[where.operator](column, where.value))


def values_of(connection: sa.Connection, job_id: str, rows: Sequence[int]) -> dict[int, dict[str, Value]]:
    """The values of some images of a job, by row and column."""
    metadata = connection.execute(sa.select(jobs.c.facts).where(jobs.c.id == job_id)).scalar()
    names = list(kinds_of(metadata))
    if not names or not rows:
        return {}
    query = sa.select(
        image_columns.c.row, image_columns.c.name, image_columns.c.text, image_columns.c.number
    ).where(
        image_columns.c.job_id == job_id,
        image_columns.c.name.in_(names),
        image_columns.c.row.in_(sorted(set(rows))),
    )
    unordered: dict[int, dict[str, Value]] = {}
    for row, name, text, number in connection.execute(query):
        unordered.setdefault(row, {})[name] = number if text is None else text
    return {
        row: {name: values[name] for name in names if name in values} for row, values in unordered.items()
    }

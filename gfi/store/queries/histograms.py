"""Histograms of the numbers of results."""

from dataclasses import dataclass

import sqlalchemy as sa

from gfi.domain.metrics import NUMBERS
from gfi.domain.statuses import ImageStatus
from gfi.domain.sums import bin_width
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.queries.counted import counted
from gfi.store.queries.results import Filters, conditions
from gfi.store.queries.sums import job_sums
from gfi.store.tables import results


@dataclass(frozen=True)
class Histogram:
    """A number over the images with status `ok` that have it.

    bins: (left edge, images) of each bin that is not empty, from left to right. variance: over `count`.
    """

    width: float
    bins: list[tuple[float, int]]
    count: int
    mean: float | None
    variance: float | None


def histogram(db: Database, job_id: str, number: str, filters: Filters | None = None) -> Histogram:
    """The histogram of a number of the primary results; without filters from the sums, which reads no result.

    Of several classes of an image the first counts, of several labels each. StoreError for a number that results do not
    have.
    """
    if number not in NUMBERS:
        raise StoreError(f"no number is called {number!r}; choose one of {', '.join(NUMBERS)}")
    width = bin_width(number)
    if filters in (None, Filters()):
        sums = job_sums(db, job_id)
        known = sums.numbers().get(number)
        if known is None:
            return Histogram(width, [], 0, None, None)
        return Histogram(width, sums.histogram(number), known.count, known.mean, known.variance)
    value = results.c[number]
    place = value / width + 1e-9
    # SQLite may have no floor(), and cuts towards zero; PostgreSQL rounds where it casts.
    bin_ = (
        sa.cast(place + _FAR, sa.Integer) - _FAR
        if db.is_sqlite
        else sa.cast(sa.func.floor(place), sa.Integer)
    )
    query = (
        sa.select(bin_.label("bin"), sa.func.count(), sa.func.sum(value), sa.func.sum(value * value))
        .where(results.c.job_id == job_id, counted(db, job_id), results.c.status == ImageStatus.OK.value)
        .where(value.is_not(None), *conditions(job_id, filters or Filters()))
        .group_by("bin")
        .order_by("bin")
    )
    with db.read() as connection:
        rows = [
            (int(place), int(images), float(a), float(b)) for place, images, a, b in connection.execute(query)
        ]
    count = sum(images for _, images, _, _ in rows)
    if not count:
        return Histogram(width, [], 0, None, None)
    mean = sum(total for _, _, total, _ in rows) / count
    variance = max(0.0, sum(squares for *_, squares in rows) / count - mean * mean)
    return Histogram(width, [(place * width, images) for place, images, _, _ in rows], count, mean, variance)


_FAR = 1_000_000
"""Added before a number is cut to a whole one, so that it is above zero."""

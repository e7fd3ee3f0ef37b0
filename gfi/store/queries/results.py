"""Results: pages, filters, groups."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gfi.domain.digests import JSON
from gfi.domain.manifest_columns import Kind, Where
from gfi.domain.metrics import NUMBERS, PRIMARY_METHOD
from gfi.domain.result import Result
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.domain.sums import IDENTITY
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError
from gfi.store.queries.counted import counted
from gfi.store.queries.fetching import BULK, fetch
from gfi.store.queries.image_columns import Group, condition, values_of
from gfi.store.queries.orders import ordered_keys
from gfi.store.queries.parts import other_jobs
from gfi.store.queries.sums import job_sums
from gfi.store.tables import attempts, flags, image_columns, part_references, results, shards

SORTABLE = ("row", *NUMBERS)
MOST_LOOKED_AT = 20_000
"""Results that are looked at in a written order for one page. If more are expected, the database sorts."""
_TRIED = 1000
_AT_ONCE = 2000
# A literal and no parameter, so that both databases see that the partial index applies.
NOT_OK = sa.literal_column("results.status", sa.Text) != sa.literal_column("'ok'")


@dataclass(frozen=True)
class Agreement:
    """Whether prediction and label agree. classes: of each label that names a class of the model, the class's index.

    wrong: the images whose prediction is another class than their label names; otherwise those where it is the same.
    each_label: whether a usable result without a prediction is a label that was not found, which is wrong.
    """

    wrong: bool
    classes: tuple[tuple[str, int], ...]
    each_label: bool = False


@dataclass(frozen=True)
class Filters:
    """Which results: those that satisfy every field that is set. `at_least` and `at_most` are bounds of `metric`."""

    status: ImageStatus | None = None
    prediction: int | None = None
    target: int | None = None
    label: str | None = None
    method: str | None = PRIMARY_METHOD
    target_rank: int | None = None  # the rank of the class; None for all explained classes
    error_class: str | None = None
    metric: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    search: str | None = None  # text that the key contains
    where: tuple[Where, ...] = ()  # conditions on the further columns of the manifest
    flagged: bool = False
    flag: str | None = None
    rows: tuple[int, ...] | None = None  # only these; () for none
    agreement: Agreement | None = None
    differs_from: str | None = None  # a job whose prediction for the same key is another one
    by_label: bool = False  # `differs_from` compares each label: both jobs have a result for each
    sigmoid: bool = False  # and there whether a label was found, not which class is more probable
    carried: bool | None = None  # whether the result was carried over from an earlier job


def list_results(
    db: Database,
    job_id: str,
    *,
    filters: Filters | None = None,
    sort: str = "row",
    descending: bool = False,
    limit: int = 100,
    after: tuple[Any, ...] | None = None,
    columns: bool = True,
) -> list[Result]:
    """Current results of a job, a page at a time.

    columns: include the further columns of the manifest. `after`: `page_key` of the last row of the page before. In the
    order of a number, rows without it come last. Of a large job this order is read if its task has written it
    (`gfi.store.ledger.orders`); otherwise the database sorts.
    """
    if sort not in SORTABLE:
        raise StoreError(f"results cannot be sorted by {sort!r}; choose one of {', '.join(SORTABLE)}")
    filters = filters or Filters()
    query = sa.select(results).where(results.c.job_id == job_id, *conditions(job_id, filters))
    if sort == "row":
        page = _fetched(db, _behind(query, _TAIL, descending, after).limit(limit))
        return _with_columns(db, job_id, page) if columns else page
    ordered = _ordered_page(db, job_id, query, filters, sort, descending, limit, after)
    if ordered is None:
        ordered = []
        for stretch in _stretches(query, results.c[sort], descending, after):
            ordered += _fetched(db, stretch.limit(limit - len(ordered)))
            if len(ordered) == limit or _bounds(filters, sort) != (None, None):
                break  # no result without the number is between bounds of it
    return _with_columns(db, job_id, ordered) if columns else ordered


def _bounds(filters: Filters, sort: str) -> tuple[float | None, float | None]:
    """The bounds of the number by which results are sorted, if it has any."""
    return (filters.at_least, filters.at_most) if filters.metric == sort else (None, None)


def _ordered_page(
    db: Database,
    job_id: str,
    query: sa.Select[Any],
    filters: Filters,
    sort: str,
    descending: bool,
    limit: int,
    after: tuple[Any, ...] | None,
) -> list[Result] | None:
    """A page in an order that was written; None if there is none, or if few results satisfy the filters: then sorting
    those is quicker than looking at all in this order."""
    bounds = _bounds(filters, sort)
    with db.read(snapshot=True) as connection:
        order = ordered_keys(connection, job_id, sort, descending, after, *bounds)
        if order is None:
            return None
        page: list[Result] = []
        # Between bounds the first and the last chunk have others too.
        looked, batch, tried = 0, limit, _TRIED if bounds == (None, None) else MOST_LOOKED_AT
        while keys := list(islice(order.keys, batch)):
            # As many as expected from those looked at so far, but not before a thousand are.
            if looked >= tried and len(page) * MOST_LOOKED_AT < limit * looked:
                return None
            rows = query.where(_one_of(connection, sorted({row for row, _, _ in keys})))
            found = {(r["row"], r["method"], r["target_rank"]): r for r in _dicts(connection, rows)}
            page += [Result.from_table(found[key]) for key in keys if key in found]
            if len(page) >= limit:
                return page[:limit]
            looked, batch = looked + len(keys), min(2 * batch, _AT_ONCE)
        if not order.complete:
            place = after[1:] if after is not None and after[0] is None else None
            rest = _behind(query.where(results.c[sort].is_(None)), _TAIL, False, place)
            page += [Result.from_table(row) for row in _dicts(connection, rest.limit(limit - len(page)))]
        return page


def _with_columns(db: Database, job_id: str, page: list[Result]) -> list[Result]:
    used = sorted({result.part_id for result in page if result.part_id is not None})
    with db.read() as connection:
        values = values_of(connection, job_id, [result.row for result in page])
        origins = other_jobs(connection, job_id, used)
    if not values and not origins:
        return page
    return [
        replace(result, columns=values.get(result.row, {}), from_job=origins.get(result.part_id or "", None))
        for result in page
    ]


def _fetched(db: Database, query: sa.Select[Any]) -> list[Result]:
    return [Result.from_table(row) for row in fetch(db, query)]


def _one_of(connection: sa.Connection, rows: list[int]) -> sa.ColumnElement[bool]:
    """The condition that a row is one of these; on PostgreSQL one parameter and not thousands."""
    if connection.dialect.name == "sqlite":
        return results.c.row.in_(rows)
    return results.c.row == sa.any_(sa.literal(rows, postgresql.ARRAY(sa.Integer)))


def _dicts(connection: sa.Connection, query: sa.Select[Any]) -> list[JSON]:
    return [dict(row._mapping) for row in connection.execute(query)]


_TAIL = (results.c.row, results.c.method, results.c.target_rank)


def _stretches(
    query: sa.Select[Any], number: sa.Column[Any], descending: bool, after: tuple[Any, ...] | None
) -> Iterator[sa.Select[Any]]:
    """The rows after a position in the order of a number, as two queries: rows with it, rows without it."""
    value, *key = (None, None) if after is None else after
    if value is not None or after is None:
        yield _behind(query.where(number.is_not(None)), (number, *_TAIL), descending, after)
    place = tuple(key) if after is not None and value is None else None
    yield _behind(query.where(number.is_(None)), _TAIL, False, place)


def _behind(
    query: sa.Select[Any], keys: Sequence[sa.Column[Any]], descending: bool, after: tuple[Any, ...] | None
) -> sa.Select[Any]:
    """The query in the order of these columns, beginning after a position."""
    if after is not None:
        key, place = sa.tuple_(*keys), sa.tuple_(*map(sa.literal, after))
        query = query.where(key < place if descending else key > place)
    return query.order_by(*(column.desc() if descending else column for column in keys))


def page_key(result: Result, sort: str = "row") -> tuple[Any, ...]:
    """The value of `after` with which `list_results` continues after this result."""
    key = (result.row, result.method, result.target_rank)
    return key if sort == "row" else (result.number(sort), *key)


def iterate_results(
    db: Database,
    job_id: str,
    *,
    filters: Filters | None = None,
    status: ImageStatus | None = None,
    limit: int | None = None,
    columns: bool = True,
) -> Iterator[Result]:
    """Current results in row order, at most `limit`, read a few thousand at a time: for exports and reports.

    columns: include the further columns of the manifest. `status` is a shorter way to set the filter of that name.
    """
    if status is not None:
        filters = replace(filters or Filters(), status=status)
    after, left = None, limit
    while left is None or left > 0:
        size = BULK if left is None else min(BULK, left)
        page = list_results(db, job_id, filters=filters, limit=size, after=after, columns=columns)
        yield from page
        if len(page) < size:
            return
        after = page_key(page[-1])
        left = None if left is None else left - size


def iterate_columns(db: Database, job_id: str, names: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
    """These columns of all current results of the job's own method, in row order, a page of 5,000 at a time.

    Three times as fast as reading whole results, for a million rows.
    """
    chosen = [results.c[name] for name in names]
    place = (results.c.row, results.c.target_rank)
    query = sa.select(*chosen, *place).where(results.c.job_id == job_id, results.c.method == PRIMARY_METHOD)
    after: tuple[int, int] | None = None
    while True:
        page = query if after is None else query.where(sa.tuple_(*place) > sa.tuple_(*map(sa.literal, after)))
        with db.read() as connection:
            rows = [tuple(row) for row in connection.execute(page.order_by(*place).limit(BULK))]
        if rows:
            yield [row[:-2] for row in rows]
        if len(rows) < BULK:
            return
        after = rows[-1][-2:]


def conditions(job_id: str, filters: Filters) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [condition(where) for where in filters.where]
    for name in ("prediction", "target", "label", "method", "target_rank", "error_class"):
        if (value := getattr(filters, name)) is not None:
            conditions.append(results.c[name] == value)
    if filters.status is not None:
        conditions.append(results.c.status == filters.status.value)
        if filters.status is not ImageStatus.OK:
            # Logically redundant, but without it neither database uses the partial index of the few rows that are not
            # ok.
            conditions.append(NOT_OK)
    if filters.search:
        conditions.append(results.c.key.contains(filters.search, autoescape=True))
    if filters.metric is not None:
        if filters.metric not in SORTABLE:
            raise StoreError(f"no metric {filters.metric!r}; choose one of {', '.join(SORTABLE)}")
        number = results.c[filters.metric]
        if filters.at_least is not None:
            conditions.append(number >= filters.at_least)
        if filters.at_most is not None:
            conditions.append(number <= filters.at_most)
    if filters.carried is not None:
        elsewhere = sa.exists().where(
            part_references.c.job_id == results.c.job_id, part_references.c.part_id == results.c.part_id
        )
        conditions.append(elsewhere if filters.carried else ~elsewhere)
    if filters.flagged or filters.flag is not None:
        same = sa.and_(flags.c.job_id == results.c.job_id, flags.c.row == results.c.row)
        conditions.append(
            sa.exists().where(same if filters.flag is None else same & (flags.c.flag == filters.flag))
        )
    if filters.rows is not None:
        conditions.append(results.c.row.in_(filters.rows))
    if filters.agreement is not None:
        conditions.append(_agrees(filters.agreement))
    if filters.differs_from is not None:
        conditions.append(_differs(job_id, filters.differs_from, filters.by_label, filters.sigmoid))
    return conditions


def _predicted(table: Any, each_label: bool, sigmoid: bool = False) -> sa.ColumnElement[Any]:
    """The prediction, null where none is known; with each_label -1, no class, for a label that was not found: one
    without a prediction, and with sigmoid also one with another class as its prediction."""
    if not each_label:
        return table.c.prediction
    missed = table.c.prediction.is_(None)
    if sigmoid:
        missed |= table.c.prediction != table.c.target
    return sa.case((missed & table.c.status.not_in(sorted(UNUSABLE)), -1), else_=table.c.prediction)


def _differs(job_id: str, other_id: str, by_label: bool, sigmoid: bool) -> sa.ColumnElement[bool]:
    """The condition that the other job predicted another class for the image, or label: one join of the two jobs by
    key, or by key and class."""
    mine, other = results.alias(), results.alias()
    first = [
        sa.and_(
            one.c.method == PRIMARY_METHOD,
            sa.true() if by_label else one.c.target_rank == 0,
            one.c.job_id == job,
        )
        for one, job in ((mine, job_id), (other, other_id))
    ]
    same = mine.c.key == other.c.key
    joined = mine.join(other, same & (mine.c.target == other.c.target) if by_label else same)
    changed = _predicted(mine, by_label, sigmoid) != _predicted(other, by_label, sigmoid)
    if by_label:
        places = sa.select(mine.c.row, mine.c.target_rank).select_from(joined).where(*first, changed)
        return sa.tuple_(results.c.row, results.c.target_rank).in_(places)
    return results.c.row.in_(sa.select(mine.c.row).select_from(joined).where(*first, changed))


def _agrees(agreement: Agreement) -> sa.ColumnElement[bool]:
    """The condition on label and prediction, as one list that both databases turn into a hash table."""
    # A text and no pair of values: PostgreSQL compares a list of pairs one by one.
    both = results.c.label + "\x1f" + sa.cast(_predicted(results, agreement.each_label), sa.Text)
    same = both.in_([f"{label}\x1f{index}" for label, index in agreement.classes])
    if not agreement.wrong:
        return same
    return results.c.label.in_([label for label, _ in agreement.classes]) & ~same


def get_result(
    db: Database, job_id: str, row: int, *, method: str = PRIMARY_METHOD, target_rank: int = 0
) -> Result:
    """One image's current result. NotFound when there is none."""
    query = (
        sa.select(results)
        .where(results.c.job_id == job_id, results.c.row == row)
        .where(results.c.method == method, results.c.target_rank == target_rank)
    )
    found = _fetched(db, query)
    if not found:
        raise NotFound(f"job {job_id} has no result for image {row}")
    return _with_columns(db, job_id, found)[0]


def ranks_of(db: Database, job_id: str, row: int) -> list[int]:
    """The ranks of the classes, or labels, of an image that the job's own method explained, ascending."""
    query = sa.select(results.c.target_rank).where(
        results.c.job_id == job_id, results.c.row == row, results.c.method == PRIMARY_METHOD
    )
    with db.read() as connection:
        return list(connection.execute(query.order_by(results.c.target_rank)).scalars())


def results_at(db: Database, job_id: str, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Result]:
    """The current results of a job at these places: part and row of the part. Replaced results are not among them."""
    named = sorted({part for part, _ in places})
    if not named:
        return {}
    # No index has parts: this reads the job's results once.
    query = sa.select(results).where(
        results.c.job_id == job_id,
        results.c.part_id.in_(named),
        results.c.part_row.in_(sorted({row for _, row in places})),
    )
    wanted = set(places)
    page = [one for one in _fetched(db, query) if (one.part_id, one.part_row) in wanted]
    return {(one.part_id or "", one.part_row or 0): one for one in _with_columns(db, job_id, page)}


def earlier_results(
    db: Database, job_id: str, row: int, *, method: str = PRIMARY_METHOD, target_rank: int = 0
) -> list[Result]:
    """The results that the current result of an image has replaced, oldest first."""
    query = (
        sa.select(attempts)
        .where(attempts.c.job_id == job_id, attempts.c.row == row)
        .where(attempts.c.method == method, attempts.c.target_rank == target_rank)
        .order_by(attempts.c.attempt)
    )
    return _fetched(db, query)


def rows_with_status(
    db: Database,
    job_id: str,
    statuses: Sequence[str],
    classes: Sequence[str] = (),
    tried: Mapping[int, int] | None = None,
) -> Iterator[int]:
    """Manifest rows that a retry explains again, ascending: those whose current result has one of these statuses and,
    where `classes` are named, an error of one of these classes.

    tried: rows whose shard in an earlier retry failed with one of these classes, with the number of that retry. They
    are among them whatever their error is, unless a later attempt has replaced it.
    """
    tried = tried or {}
    after, last = -1, -1
    counts = counted(db, job_id)
    while True:
        query = (
            sa.select(results.c.row, results.c.error_class, sa.func.coalesce(shards.c.generation, 0))
            .outerjoin(shards, shards.c.id == results.c.shard_id)
            .where(results.c.job_id == job_id, counts, results.c.row > after)
            .where(results.c.status.in_([ImageStatus(status).value for status in statuses]))
            .order_by(results.c.row)
            .limit(BULK)
        )
        if classes and not tried:
            query = query.where(results.c.error_class.in_(list(classes)))
        with db.read() as connection:
            page = connection.execute(query).all()
        if not page:
            return
        for row, error_class, retry in page:
            if row != last and (not classes or error_class in classes or retry < tried.get(row, 0)):
                yield row
                last = row
        # A full page may end between two labels of an image.
        after = page[-1].row - (len(page) == BULK)


GROUPED = ("status", "label", "prediction", "target", "error_class")
"""Columns of results for grouping, in addition to the further columns of the manifest."""
MOST_GROUPS = 1000


def group_results(
    db: Database, job_id: str, by: str, kinds: Mapping[str, Kind], filters: Filters | None = None
) -> tuple[list[Group], bool]:
    """The primary results of a job by the values of a column, the largest group first, at most MOST_GROUPS.

    Returns the groups, and whether there are more. by: a further column of the manifest, or one of GROUPED. kinds: the
    job's columns. StoreError when there is none.
    """
    rows: sa.FromClause = results
    if by in kinds:
        same = (image_columns.c.job_id == results.c.job_id, image_columns.c.row == results.c.row)
        rows = results.outerjoin(image_columns, sa.and_(*same, image_columns.c.name == by))
        value: sa.Column[Any] = image_columns.c.text if kinds[by] == "text" else image_columns.c.number
    elif by in GROUPED:
        value = results.c[by]
    else:
        raise StoreError(
            f"results cannot be grouped by {by!r}; choose one of {', '.join((*kinds, *GROUPED))}"
        )
    if by in IDENTITY and by not in kinds and filters in (None, Filters()):
        return _summed_groups(db, job_id, by)
    ok = results.c.status == ImageStatus.OK.value
    counts = [sa.func.sum(sa.case((results.c.status == s.value, 1), else_=0)) for s in ImageStatus]
    numbers = [sa.case((ok, results.c[name])) for name in NUMBERS]
    query = (
        sa.select(value, sa.func.count(), *counts, *map(sa.func.avg, numbers), *map(sa.func.count, numbers))
        .select_from(rows)
        .where(results.c.job_id == job_id, counted(db, job_id), *conditions(job_id, filters or Filters()))
        .group_by(value)
        .order_by(sa.func.count().desc(), value)
        .limit(MOST_GROUPS + 1)
    )
    groups = []
    with db.read() as connection:
        for found, images, *rest in connection.execute(query):
            by_status, rest = rest[: len(counts)], rest[len(counts) :]
            means = zip(NUMBERS, rest[: len(NUMBERS)], rest[len(NUMBERS) :], strict=True)
            groups.append(
                Group(
                    found,
                    images,
                    {str(s): int(n) for s, n in zip(ImageStatus, by_status, strict=True) if n},
                    {name: (float(mean), count) for name, mean, count in means if count},
                )
            )
    return groups[:MOST_GROUPS], len(groups) > MOST_GROUPS


def _summed_groups(db: Database, job_id: str, by: str) -> tuple[list[Group], bool]:
    """The groups of all results, from their sums, and whether there are more."""
    groups = [
        Group(value, sum(counts.values()), counts, sums.explained_means())
        for value, sums in job_sums(db, job_id, cells=True).group(by).items()
        if (counts := sums.cell_statuses())
    ]
    groups.sort(key=lambda group: (-group.images, group.value is None, group.value))
    return groups[:MOST_GROUPS], len(groups) > MOST_GROUPS


def rows_of(db: Database, job_id: str, filters: Filters, limit: int) -> list[int]:
    """The rows of the manifest whose results satisfy the filters, ascending, at most `limit`."""
    query = (
        sa.select(results.c.row).distinct().where(results.c.job_id == job_id, *conditions(job_id, filters))
    )
    with db.read() as connection:
        return list(connection.execute(query.order_by(results.c.row).limit(limit)).scalars())

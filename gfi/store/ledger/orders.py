"""The orders of a large job's results by each number, for its gallery: made by a task when the job has ended.

Table `result_orders` has, for a job and a number, the rows in that order, CHUNK of them to a row of the table: 4 bytes
a result, where an index has 45. An order names how many commits its job had when it was made. A shard is committed
once, and nothing else changes results, so an order is that of the current results exactly while the job has so many
commits; `gfi.store.queries.orders` uses no other. A commit therefore writes nothing here.

While a job runs, and below ORDERED_FROM images, the database sorts.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from gfi.domain.metrics import NUMBERS, PRIMARY_METHOD
from gfi.domain.states import OPEN, TERMINAL, ControlKind, ShardState
from gfi.store.database import Database
from gfi.store.ledger.control_requests import add_job_task
from gfi.store.ledger.guards import lock_job
from gfi.store.others_go_on import others_go_on
from gfi.store.tables import control_tasks, in_state, jobs, result_orders, results, shards

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ORDERED_FROM = 100_000
"""Images of a job. Sorting as many takes the database 0.08 s."""
CHUNK = 5000
_READ = 20_000  # results at a time
_INSERTED = 100  # chunks at a time: 2 MB
_ORDER_LOCK = 7_305_005


def request_orders(db: Database, job_id: str | None = None, at_least: int = ORDERED_FROM) -> list[str]:
    """(nothing) → pending: an `order` task for each large job that has ended and whose orders are missing or old.

    job_id: only this job. at_least: images of a job that is large. Returns the ids of the tasks.
    """
    made = result_orders.alias()
    # The last number to be written: with it all are there.
    is_made = sa.exists().where(
        made.c.job_id == jobs.c.id,
        made.c.name == NUMBERS[-1],
        made.c.chunk == 0,
        made.c.commits == _commits(jobs.c.id),
    )
    asked = sa.exists().where(
        control_tasks.c.job_id == jobs.c.id,
        control_tasks.c.kind == ControlKind.ORDER.value,
        sa.or_(
            control_tasks.c.state.in_(sorted(OPEN)),
            # One that has failed is not repeated by itself.
            sa.and_(
                in_state(control_tasks, ShardState.FAILED), control_tasks.c.created_at >= jobs.c.finished_at
            ),
        ),
    )
    wanted = sa.and_(jobs.c.state.in_(sorted(TERMINAL)), jobs.c.total >= at_least, _commits(jobs.c.id) > 0)
    query = sa.select(jobs.c.id).where(wanted, ~asked, ~is_made)
    if job_id is not None:
        query = query.where(jobs.c.id == job_id)
    with db.read() as connection:
        found = connection.execute(query).scalars().all()
    requested = []
    for each in found:
        with others_go_on("order not requested", job=each), db.begin() as connection:
            job = lock_job(connection, each)
            if connection.execute(sa.select(jobs.c.id).where(jobs.c.id == each, ~asked)).scalar() is not None:
                requested.append(add_job_task(connection, ControlKind.ORDER, job))
    return requested


def write_orders(db: Database, job_id: str, check: Callable[[], None] = lambda: None) -> int:
    """Write the orders of a job by every number. Returns of how many results; 0 if some were committed meanwhile.

    Memory: about 40 bytes a result; temporary files: 8 bytes a result and number. check: called every second or two.
    NotFound if there is no such job.
    """
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="gfi-order-") as folder:
        unsorted = _read(db, job_id, Path(folder), check)
        for name in NUMBERS:
            check()
            values = np.fromfile(Path(folder) / name, dtype=np.float64)
            # Sorted before the transaction begins: the server ends one that is idle for ten seconds.
            if not _write(db, job_id, name, list(_chunks(unsorted, values)), unsorted.commits):
                return 0
    return len(unsorted.rows)


class _Unsorted(NamedTuple):
    """The results of a job in the order of their key. kinds: method and rank of class; codes: places in `kinds`."""

    commits: int
    rows: "NDArray[np.int32]"
    kinds: list[tuple[str, int]]
    codes: "NDArray[np.uint16]"


def _read(db: Database, job_id: str, folder: Path, check: Callable[[], None]) -> _Unsorted:
    """Read all results of one moment; the numbers go to files of their names."""
    import numpy as np

    key = (results.c.row, results.c.method, results.c.target_rank)
    query = sa.select(*key, *(results.c[name] for name in NUMBERS)).where(results.c.job_id == job_id)
    kinds: dict[tuple[str, int], int] = {(PRIMARY_METHOD, 0): 0}
    rows, codes = [np.empty(0, np.int32)], [np.empty(0, np.uint16)]
    files = [(folder / name).open("wb") for name in NUMBERS]
    try:
        with db.read(snapshot=True) as connection:
            commits = int(connection.execute(sa.select(_commits(job_id))).scalar_one())
            after = None
            while True:
                check()
                place: list[sa.ColumnElement[bool]] = (
                    [] if after is None else [sa.tuple_(*key) > sa.tuple_(*map(sa.literal, after))]
                )
                found = connection.execute(query.where(*place).order_by(*key).limit(_READ)).all()
                if found:
                    columns = list(zip(*found, strict=True))
                    rows.append(np.array(columns[0], np.int32))
                    named = zip(columns[1], columns[2], strict=True)
                    codes.append(np.array([kinds.setdefault(one, len(kinds)) for one in named], np.uint16))
                    for file, column in zip(files, columns[3:], strict=True):
                        # Null becomes NaN, which no result has.
                        file.write(np.array(column, np.float64).tobytes())
                if len(found) < _READ:
                    break
                after = tuple(found[-1][:3])
    finally:
        for file in files:
            file.close()
    return _Unsorted(commits, np.concatenate(rows), list(kinds), np.concatenate(codes))


def _chunks(unsorted: _Unsorted, values: "NDArray[np.float64]") -> Iterator[dict[str, Any]]:
    """The rows of the table: first the results with the number, then those without, if these are fewer.

    If they are not, an empty chunk says so; the database finds them at once.
    """
    import numpy as np

    order = np.argsort(values, kind="stable")  # NaN is last; equal numbers stay in the order of their key
    measured = len(values) - int(np.isnan(values).sum())
    starts = list(range(0, measured, CHUNK))
    spans = [(start, min(start + CHUNK, measured)) for start in starts]
    if len(values) - measured < measured:
        rest = range(measured, len(values), CHUNK)
        spans += [(start, min(start + CHUNK, len(values))) for start in rest]
    else:
        spans.append((len(values), len(values)))
    several = len(unsorted.kinds) > 1
    for start, stop in spans:
        which = order[start:stop]
        yield {
            "low": float(values[which[0]]) if start < measured else None,
            "low_row": int(unsorted.rows[which[0]]) if start < stop else None,
            "rows": unsorted.rows[which].astype("<i4").tobytes(),
            "kinds": [list(kind) for kind in unsorted.kinds] if several else None,
            "codes": unsorted.codes[which].astype("<u2").tobytes() if several else None,
        }


def _write(db: Database, job_id: str, name: str, chunks: list[dict[str, Any]], commits: int) -> bool:
    """Replace the order by one number. Returns False, and writes nothing, if the job has other commits by now."""
    with db.begin() as connection:
        if connection.dialect.name == "postgresql":  # two processes that make it at once
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ORDER_LOCK)))
        lock_job(connection, job_id, shared=True)
        if connection.execute(sa.select(_commits(job_id))).scalar_one() != commits:
            return False
        mine = sa.and_(result_orders.c.job_id == job_id, result_orders.c.name == name)
        connection.execute(sa.delete(result_orders).where(mine))
        common = {"job_id": job_id, "name": name, "commits": commits}
        for start in range(0, len(chunks), _INSERTED):
            batch = enumerate(chunks[start : start + _INSERTED], start)
            connection.execute(
                sa.insert(result_orders), [common | {"chunk": place} | chunk for place, chunk in batch]
            )
    return True


def _commits(job_id: str | sa.Column[str]) -> sa.ScalarSelect[int]:
    """How many shards of a job are committed."""
    done = sa.and_(shards.c.job_id == job_id, in_state(shards, ShardState.DONE))
    return sa.select(sa.func.count()).select_from(shards).where(done).scalar_subquery()

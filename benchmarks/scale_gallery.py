"""A large job's gallery, sums and deletion, for `benchmarks.scale`; its rows are written by SQL and not by commits."""

import time
from statistics import median
from threading import Event, Thread
from typing import Any

import numpy as np
import sqlalchemy as sa

from benchmarks.scale import CLASSES, LEASE_S, MEASURED, SHARD, Figures, planned, seconds
from gfi.domain.ids import new_id
from gfi.domain.metrics import NUMBERS
from gfi.domain.statuses import ImageStatus
from gfi.domain.sums import Sums
from gfi.report.summary import summary_of
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.tables import result_sums

_ROWS = sa.text(
    f"""
INSERT INTO results (job_id, row, method, target_rank, key, version, status, label, target, prediction, {", ".join(MEASURED)},
    part_id, part_row, shard_id, fence, created_at)
SELECT CAST(:job AS text), i, 'gfi', 0, 'train/n' || lpad(l::text, 8, '0') || '/n' || lpad(l::text, 8, '0') || '_' || i || '.JPEG',
    md5(i::text), CASE WHEN i % 20 = 7 THEN 'not_settled' ELSE 'ok' END, 'n' || lpad(l::text, 8, '0'), p, p,
    {", ".join("20 + (random() * 80)::int" if name == "iterations" else "random()" for name in MEASURED)},
    'part' || lpad((i / {SHARD})::text, 8, '0'), i % {SHARD}, CAST(:job AS text) || '-' || i / {SHARD} * {SHARD}, 1, 1.7e9
FROM (SELECT i, l, CASE WHEN random() < 0.8 THEN l ELSE (random() * {CLASSES - 1})::int END p
      FROM (SELECT i, (random() * {CLASSES - 1})::int l FROM generate_series(0, :images - 1) i) a) b
"""  # noqa: E501 - SQL
)
DISTINCT_CONFUSIONS = 20
"""Wrong predictions that a class has: of a thousand classes 40,000 rows of the class table."""


def measure(database: Database, figures: Figures, rows: int) -> str:
    """Write the rows of an ended job and measure its gallery; returns the job."""
    job = planned(database, rows)
    ledger.cancel_job(database, job)
    sizes = {name: _sizes(database, name) for name in ("results", "result_orders")}
    with database.begin() as connection:
        took, _ = seconds(lambda: connection.execute(_ROWS, {"job": job, "images": rows}))
    figures.add("rows written by SQL", rows, rows / took, "results/s")
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE results")
    for what, before, after in zip(
        ("rows", "indexes"), sizes["results"], _sizes(database, "results"), strict=True
    ):
        figures.add(f"{what} of `results`", rows, (after - before) / rows, "bytes/result")
    _page(database, figures, job, rows, "sorted by area while the job runs", sort="area")
    took, _ = seconds(lambda: ledger.write_orders(database, job))
    figures.add("orders of a job that has ended", rows, took, "s")
    made = sum(_sizes(database, "result_orders")) - sum(sizes["result_orders"])
    figures.add("orders of 8 numbers", rows, made / rows, "bytes/result")
    _pages(database, figures, job, rows)
    return job


def _sizes(database: Database, table: str) -> tuple[int, int]:
    with database.read() as connection:
        sizes = sa.text(
            "SELECT pg_table_size(CAST(:name AS regclass)), pg_indexes_size(CAST(:name AS regclass))"
        )
        heap, indexes = connection.execute(sizes, {"name": table}).one()
    return int(heap), int(indexes)


def _times(database: Database, job: str, **asked: Any) -> list[float]:
    return [seconds(lambda: queries.list_results(database, job, limit=200, **asked))[0] for _ in range(3)]


def _page(
    database: Database,
    figures: Figures,
    job: str,
    rows: int,
    what: str,
    goal: float | None = 200,
    **asked: Any,
) -> None:
    figures.add(f"page of 200: {what}", rows, 1000 * median(_times(database, job, **asked)), "ms", goal)


def _pages(database: Database, figures: Figures, job: str, rows: int) -> None:
    _page(database, figures, job, rows, "order of rows")
    middle = queries.list_results(
        database, job, filters=queries.Filters(metric="area", at_least=0.5), sort="area", limit=1
    )
    by_number = {name: median(_times(database, job, sort=name)) for name in NUMBERS}
    slowest = max(by_number, key=by_number.__getitem__)
    figures.add(f"page of 200: by the slowest number, {slowest}", rows, 1000 * by_number[slowest], "ms", 200)
    _page(database, figures, job, rows, "by area, descending", sort="area", descending=True)
    after = queries.page_key(middle[0], "area")
    _page(database, figures, job, rows, "by area, behind the middle", sort="area", after=after)
    filters = {
        "one prediction": queries.Filters(prediction=12),
        "one status": queries.Filters(status=ImageStatus.NOT_SETTLED),
        "one label": queries.Filters(label="n00000012"),
        "area in a millionth": queries.Filters(metric="area", at_least=0.5, at_most=0.500001),
        "a name that a thousandth has": queries.Filters(search="n00000012"),
        "a name that one image has": queries.Filters(search=f"_{rows // 2}.JP"),
    }
    for what, chosen in filters.items():
        goal = 300.0 if "name" in what else None
        _page(database, figures, job, rows, f"{what}, order of rows", goal, filters=chosen)
        _page(database, figures, job, rows, f"{what}, by area", None, filters=chosen, sort="area")


def delete(database: Database, figures: Figures, job: str, rows: int) -> None:
    """Delete that job while shards of another are claimed."""
    other = planned(database, 1_000_000)
    stop, claims_s = Event(), list[float]()

    def claim() -> None:
        while not stop.is_set():
            claims_s.append(seconds(lambda: ledger.claim_shard(database, "w", "explain", LEASE_S))[0])
            time.sleep(0.05)

    beside = Thread(target=claim)
    beside.start()
    try:
        took, _ = seconds(lambda: ledger.delete_job(database, job))
        figures.add("deletion, until the job is gone", rows, took, "s")
        took, _ = seconds(lambda: ledger.delete_leftovers(database))
        figures.add("deletion of what is left, by a sweep", rows, took, "s")
    finally:
        stop.set()
        beside.join()
    figures.add_times("claim beside a deletion", rows, claims_s, 50)
    ledger.cancel_job(database, other)


def summarise(database: Database, figures: Figures, rows: int) -> None:
    """Summary, class table and histogram from the merged sums of so many images; no result is read."""
    job = f"{new_id()}"
    totals, cells = _synthetic(rows).packed()
    with database.begin() as connection:
        connection.execute(
            sa.insert(result_sums).values(job_id=job, piece="merged", totals=totals, cells=cells)
        )
    goal = 2 if rows <= 1_000_000 else 20
    figures.add("sums, merged", rows, (len(totals) + len(cells)) / rows, "bytes/result")
    took, summary = seconds(lambda: summary_of(queries.job_sums(database, job)))
    assert summary.total == rows
    figures.add("summary, from sums", rows, took, "s", goal)
    took, _ = seconds(lambda: [queries.job_sums(database, job).histogram(name) for name in MEASURED])
    figures.add("histograms of 8 numbers", rows, took, "s", goal)
    took, table = seconds(lambda: queries.job_sums(database, job, cells=True).class_table())
    figures.add(f"class table of {len(table)} rows", rows, took, "s", goal)
    took, _ = seconds(lambda: queries.group_results(database, job, "label", {}))
    figures.add("groups by label", rows, took, "s", goal)


def _synthetic(rows: int) -> Sums:
    """Sums of so many images, without the images: each cell is filled with equal ones."""
    random = np.random.default_rng(0)
    sums = Sums()
    shares = [0.8] + [0.2 / DISTINCT_CONFUSIONS] * DISTINCT_CONFUSIONS
    left = rows
    for label in range(CLASSES):
        wrong = random.choice(CLASSES, DISTINCT_CONFUSIONS, replace=False).tolist()
        for prediction, share in zip((label, *wrong), shares, strict=True):
            for status, part in ((ImageStatus.OK, 0.95), (ImageStatus.NOT_SETTLED, 0.05)):
                one = Sums()
                identity = ("gfi", f"n{label:08d}", prediction, prediction, str(status))
                one.add(identity, [(name, float(random.random())) for name in MEASURED])
                count = min(left, max(1, round(rows / CLASSES * share * part)))
                for kind in (one.totals, one.cells):
                    for vector in kind.values():
                        vector[:] = [count * value for value in vector]
                left -= count
                if count:
                    sums += one
    return _filled(sums, left)


def _filled(sums: Sums, left: int) -> Sums:
    """With the images that rounding has left over."""
    for _ in range(left):
        sums.add(("gfi", "n00000000", 0, 0, str(ImageStatus.OK)), [(name, 0.5) for name in MEASURED])
    return sums

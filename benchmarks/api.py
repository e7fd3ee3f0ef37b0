"""Response times of the API with a million results and ten thousand jobs on PostgreSQL: `make bench-api`.

Goals: the gallery's first page in at most 200 ms and a deep page no slower; the class table, the confusion and a
histogram in 1 s; a page of the list of 10,000 jobs in 100 ms; 200 open progress streams on two cores. The server is
`gfi api` in a process of its own. Times are of whole requests over loopback, medians of 15 (of 3 where one takes
seconds); the numbers of a report are computed in this process. Where chromium is installed, the gallery is scrolled in
it (`benchmarks.scrolling`). Writes benchmarks/results/api.json: `what, rows, median_ms, worst_ms, goal_ms` and `load`,
the machine's load average at that time. `--rows` measures a smaller job and writes nothing.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import sqlalchemy as sa

from benchmarks.scrolling import scroll
from gfi.api.schemas import encode_cursor
from gfi.cli.servers import free_port
from gfi.domain.ids import new_id
from gfi.domain.metrics import NUMBERS
from gfi.jobs.report import summary
from gfi.jobs.report_sample import choose
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger.sums import insert_sums, sums_of_stored
from gfi.store.ledger.tokens import create_link
from gfi.store.tables import jobs, results
from tests.servers import Postgres

RESULTS, JOBS, STREAMS, REPEATS = 1_000_000, 10_000, 200, 15
DEEP = 900_000
"""The row before a page far behind the first."""
OUT = Path(__file__).parent / "results" / "api.json"

_CLASSES = [f"a class with a name of usual length {n}" for n in range(1000)]
_MODEL = {"class_names": _CLASSES, "wordnet_ids": [], "classes": 1000, "layers": []}
_CONFIG = {
    "dataset": {"spec": "folder:/data/photographs", "kind": "folder"},
    "model": {"reference": "torchvision:vgg19", "digest": "0" * 64},
    "preset": "paper",
    "recipe": {"steps_inversion": 10, "steps_class": 70},
    "method_digest": "1" * 64,
    "layers": {"inverted": "features.36", "weighed": ["features.35:relu"]},
    "target": "auto",
    "metrics": [],
}

_FILL = """
INSERT INTO results (job_id, row, method, target_rank, status, key, version, target, prediction, probability, kept,
  removed, iterations, area, deletion, insertion, average_drop, energy_in_box, pointing_hit, pointing_hit_0,
  label, part_id, part_row, shard_id, fence, created_at)
SELECT '{job}', n, 'gfi', 0, CASE WHEN n % 97 = 0 THEN 'error' WHEN n % 13 = 0 THEN 'target_lost' ELSE 'ok' END,
  'class' || n % 1000 || '/photograph-' || n || '.jpg', 'v', n % 1000,
  CASE WHEN n / 1000 % 5 = {wrong} THEN (n + 1 + n / 5000 % 20) % 1000 ELSE n % 1000 END,
  random(), random(), random(), 80,
  random(), random(), random(), random(), CASE WHEN n % 3 = 0 THEN random() END, n % 2, n % 5 / 4,
  'a class with a name of usual length ' || n % 1000,
  'part' || n / 512, n % 512, 'shard' || n / 512, 1, 1.8e9
FROM generate_series(0, {rows} - 1) AS n
"""
"""A fifth of the predictions is wrong: twenty of each class. `wrong`: which fifth."""
_SITES = """
INSERT INTO image_columns (job_id, name, row, text)
SELECT '{job}', 'site', n, 'site ' || n % 12 FROM generate_series(0, {rows} - 1) AS n
"""
_SHARDS = """
INSERT INTO shards (id, job_id, manifest_key, start, stop, state, fence, done_at, leased_at, n_ok)
SELECT '{job}-x' || n, '{job}', 'm', n * 512, (n + 1) * 512, 'done', 1, 1.8e9, 1.8e9, 512
FROM generate_series(0, {rows} / 512) AS n
"""


class Filled(NamedTuple):
    """The job with a million results, another over the same images, and a running one."""

    large: str
    other: str
    running: str


def fill(database: Database) -> Filled:
    """Insert ten thousand jobs, two of them with a million results."""
    ids = sorted({new_id() for _ in range(JOBS + 50)})[:JOBS]
    large, other, running = ids[JOBS // 2], ids[JOBS // 2 + 1], ids[0]
    rows = [
        {
            "id": job_id,
            "name": f"job {number}",
            "owner": "bench",
            "state": "running" if number % 50 == 0 else "succeeded",
            "config": _CONFIG,
            "config_digest": f"{number:064}",
            "model": _MODEL,
            "total": 4,
            "created_at": 1.8e9,
            "planned_at": 1.8e9,
        }
        for number, job_id in enumerate(ids)
    ]
    with database.begin() as connection:
        for at in range(0, JOBS, 500):
            connection.execute(sa.insert(jobs), rows[at : at + 500])
        values = {"total": RESULTS, "state": "succeeded", "facts": {"columns": {"site": "text"}}}
        connection.execute(sa.update(jobs).where(jobs.c.id.in_([large, other])).values(values))
        connection.execute(
            sa.text(
                "INSERT INTO shards (id, job_id, manifest_key, start, stop, state, n_ok, done_at) "
                "SELECT j.id || '-' || n, j.id, 'm', n, n + 1, 'done', 1, 1.8e9 FROM jobs j, generate_series(0, 3) n"
            )
        )
        connection.execute(sa.text(_SHARDS.format(job=large, rows=RESULTS)))
        connection.execute(sa.text(_FILL.format(job=large, rows=RESULTS, wrong=0)))
        connection.execute(sa.text(_FILL.format(job=other, rows=RESULTS, wrong=1)))
        connection.execute(sa.text(_SITES.format(job=large, rows=RESULTS)))
        insert_sums(connection, large, "merged-fill", sums_of_stored(connection, results.c.job_id == large))
    ledger.write_orders(database, large)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return Filled(large, other, running)


class Figures:
    """The rows of api.json; each is printed when it is added."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, rows: int, times: list[float], goal_ms: float | None) -> None:
        """Add the times of one kind of request, in seconds."""
        median, worst = round(statistics.median(times) * 1000, 1), round(max(times) * 1000, 1)
        row = {"what": what, "rows": rows, "median_ms": median, "worst_ms": worst, "goal_ms": goal_ms}
        self.rows.append(row | {"load": round(os.getloadavg()[0], 1)})
        verdict = "" if goal_ms is None else "ok" if median <= goal_ms else "ABOVE THE GOAL"
        print(f"{what:<44} {median:>9} ms  (worst {worst} ms)  {verdict}", flush=True)


def timed(client: httpx.Client, path: str, **params: Any) -> tuple[list[float], Any]:
    """The seconds of each repetition, and the last response."""
    return repeated(client, path, REPEATS, params)


def repeated(
    client: httpx.Client, path: str, repeats: int, params: dict[str, Any]
) -> tuple[list[float], Any]:
    """`timed` so many times."""
    times: list[float] = []
    answer: Any = None
    for _ in range(repeats):
        started = time.perf_counter()
        answer = client.get(path, params=params)
        times.append(time.perf_counter() - started)
        answer.raise_for_status()
    return times, answer.json()


def pages(client: httpx.Client, job: str, figures: Figures) -> None:
    """Measure pages of the gallery and of the list of jobs."""
    base = f"/v1/jobs/{job}/results"
    times, first = timed(client, base, limit=200)
    figures.add("gallery, first page of 200", RESULTS, times, 200.0)
    goal = max(200.0, 1.2 * statistics.median(times) * 1000)
    times, deep = timed(client, base, limit=200, after=encode_cursor([DEEP, "gfi", 0]))
    assert deep["items"][0]["row"] == DEEP + 1
    assert first["items"][0]["row"] == 0
    figures.add(f"gallery, page at row {DEEP:,}", RESULTS, times, goal)
    for what, params in (
        ("status error", {"status": "error"}),
        ("predicted class 7", {"prediction": 7}),
        ("insertion at least 0.999", {"metric": "insertion", "at_least": 0.999}),
        ("name contains 99999", {"search": "99999"}),
    ):
        figures.add(f"gallery, {what}", RESULTS, timed(client, base, limit=200, **params)[0], None)
    sorted_pages(client, base, figures)
    times, listed = timed(client, "/v1/jobs")
    assert len(listed["items"]) == 50
    figures.add("jobs, a page of 50", JOBS, times, 100.0)
    times, listed = timed(client, "/v1/jobs", after=encode_cursor([listed["items"][-1]["id"]]))
    figures.add("jobs, the next page", JOBS, times, 100.0)
    figures.add("job, with its progress", RESULTS, timed(client, f"/v1/jobs/{job}")[0], None)


def sorted_pages(client: httpx.Client, base: str, figures: Figures) -> None:
    """Measure the first page sorted by every number of a gallery (the slowest is kept), and pages far behind the
    first."""
    slowest: tuple[str, list[float]] = ("", [0.0])
    for name in NUMBERS:
        for descending in (False, True):
            times, page = timed(client, base, limit=200, sort=name, descending=descending)
            assert len(page["items"]) == 200
            numbers = [item[name] for item in page["items"]]
            assert numbers == sorted(numbers, key=lambda n: (n is None, -n if descending and n else n or 0))
            if statistics.median(times) > statistics.median(slowest[1]):
                slowest = (name, times)
    figures.add(f"gallery by any number, first page (slowest: {slowest[0]})", RESULTS, slowest[1], 200.0)
    goal = max(200.0, 1.2 * statistics.median(slowest[1]) * 1000)
    (behind,) = client.get(base, params={"rows": DEEP}).raise_for_status().json()["items"]
    for name in ("insertion", "iterations", "pointing_hit", "entropy"):
        # The place of a result, as the `next` of a page is.
        cursor = encode_cursor([behind[name], DEEP, "gfi", 0])
        times, _ = timed(client, base, limit=200, sort=name, after=cursor)
        figures.add(f"gallery by {name}, a page far behind", RESULTS, times, goal)
    filtered = {"sort": "insertion", "descending": True, "limit": 200}
    for what, more in (
        ("of class 7", {"prediction": 7}),
        ("not settled", {"status": "not_settled"}),
        ("name contains 99999", {"search": "99999"}),
    ):
        figures.add(
            f"gallery by insertion, {what}", RESULTS, timed(client, base, **filtered, **more)[0], None
        )


def analysis(client: httpx.Client, filled: Filled, figures: Figures) -> None:
    """Measure the pages of classes, confusion and histograms, and the filters that need labels or another job."""
    base, label = f"/v1/jobs/{filled.large}", "a class with a name of usual length 7"
    few = min(3, REPEATS)
    asked: tuple[tuple[str, str, dict[str, Any], float | None], ...] = (
        ("summary", "summary", {}, 1000.0),
        ("class table", "by-class", {"limit": 1000}, 1000.0),
        ("confusion", "confusion", {"limit": 1000}, 1000.0),
        ("histogram", "histogram", {"number": "area"}, 1000.0),
        ("histogram of a class", "histogram", {"number": "area", "label": label}, 1000.0),
        ("histogram of a site", "histogram", {"number": "area", "where": "site=site 3"}, None),
        ("groups by label", "groups", {"by": "label"}, 1000.0),
        ("groups by site", "groups", {"by": "site"}, None),
        ("intervals by site of one class", "intervals", {"by": "site", "view": f"label={label}"}, None),
        ("gallery, one label", "results", {"label": label, "limit": 200}, 200.0),
        ("gallery, wrong only", "results", {"wrong": True, "limit": 200}, 200.0),
        ("gallery, one site", "results", {"where": "site=site 3", "limit": 200}, None),
        ("gallery, differs from another job", "results", {"differs_from": filled.other, "limit": 200}, None),
    )
    for what, path, params, goal in asked:
        times, answer = repeated(client, f"{base}/{path}", REPEATS if goal else few, params)
        assert any(answer.get(name) for name in ("means", "classes", "pairs", "bins", "groups", "items")), (
            what
        )
        figures.add(what, RESULTS, times, goal)


def report_numbers(database: Database, job: str, figures: Figures) -> None:
    """Measure what a report computes of a whole job: its numbers by class, and the sample of 1,000 images."""
    started = time.perf_counter()
    found = queries.get_job(database, job)
    chosen = choose(database, found, summary(database, job), 1000, 0)
    figures.add("report, numbers and sample of 1,000", RESULTS, [time.perf_counter() - started], None)
    assert len(chosen.places) == min(1000, RESULTS)


async def streams(url: str, token: str, job: str, figures: Figures) -> None:
    """Open all streams; each must get its first event, and the API must still respond to other requests."""
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=STREAMS + 10)
    first: list[float] = []
    finished = asyncio.Event()
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits) as client:

        async def watch() -> None:
            started = time.perf_counter()
            async with client.stream("GET", f"/v1/jobs/{job}/events") as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        first.append(time.perf_counter() - started)
                        await finished.wait()
                        return

        tasks = [asyncio.create_task(watch()) for _ in range(STREAMS)]
        while len(first) < STREAMS:
            await asyncio.sleep(0.05)
            if failed := [task for task in tasks if task.done()]:
                failed[0].result()
        figures.add(f"{STREAMS} progress streams, to the first event", STREAMS, first, None)
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            (await client.get("/v1/jobs")).raise_for_status()
            times.append(time.perf_counter() - started)
        figures.add(f"jobs, with {STREAMS} streams open", JOBS, times, None)
        finished.set()
        await asyncio.gather(*tasks)


def main() -> None:
    """Fill a database, start the API, measure, and write api.json."""
    global RESULTS, DEEP
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=RESULTS, help="Results of the large job.")
    rows = parser.parse_args().rows
    whole = rows == RESULTS
    RESULTS, DEEP = rows, rows * 9 // 10
    folder = Path(tempfile.mkdtemp(prefix="gfi-bench-api-"))
    server = Postgres(Path(tempfile.mkdtemp(prefix="gfi-bench-pg-")))
    figures = Figures()
    port = free_port()
    try:
        database = Database(server.create())
        started = time.perf_counter()
        filled = fill(database)
        print(f"{RESULTS:,} results and {JOBS:,} jobs in {time.perf_counter() - started:.0f} s", flush=True)
        token = ledger.create_token(database, "bench", ["read"])[1]
        environment = os.environ | {
            "GFI_HOME": str(folder),
            "GFI_DATABASE_URL": database.url.render_as_string(hide_password=False),
            "GFI_REDIS_URL": "redis://127.0.0.1:1/0",
            "GFI_S3_BUCKET": "none",
            "GFI_S3_ENDPOINT": "http://127.0.0.1:1",
            "GFI_API_REQUESTS_PER_MINUTE": "1000000",
            "GFI_LOG_LEVEL": "WARNING",
        }
        api = subprocess.Popen(
            [sys.executable, "-m", "gfi.cli.main", "api", "--port", str(port)], env=environment
        )
        url = f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(
                base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=120
            ) as client:
                while True:
                    try:
                        client.get("/livez")
                        break
                    except httpx.TransportError:
                        time.sleep(0.2)
                pages(client, filled.large, figures)
                analysis(client, filled, figures)
            asyncio.run(streams(url, token, filled.running, figures))
            report_numbers(database, filled.large, figures)
            scroll(url, create_link(database, 600.0), filled.large, RESULTS, figures.add)
        finally:
            api.terminate()
            api.wait(15)
        database.dispose()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if not whole:
        return
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures.rows, indent=1) + "\n")
    print(f"written: {OUT}")


if __name__ == "__main__":
    main()

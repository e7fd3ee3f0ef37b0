"""The planner's join of two listings: `make bench-incremental`.

Two listings of as many images, in the order of their keys or shuffled: 1 % of the new one has another version, 0.5 % is
new, 0.5 % of the earlier one is gone. Goals for a million and a million: at most 60 s and 1 GiB on two cores, and
no more memory for ten million. The listings are written to files first, which is not counted; memory is the peak of the
process. Writes benchmarks/results/incremental.json: `order, images, explained, carried, removed, seconds, peak_mib`.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gfi.drift.incremental import LISTING, PlanCounts, plan_incremental

OUT = Path(__file__).parent / "results" / "incremental.json"
ROWS_AT_ONCE = 10_000
QUESTION = b"q" * 32


def listing(images: int, order: str, new: bool) -> Iterator[pa.Table]:
    """A listing of `images` images; the new one begins 0.5 % later in the same names."""
    numbers = np.arange(images) + (images // 200 if new else 0)
    if order == "shuffled":
        np.random.default_rng(int(new)).shuffle(numbers)
    for start in range(0, images, ROWS_AT_ONCE):
        chosen = numbers[start : start + ROWS_AT_ONCE].tolist()
        columns = {
            "key": [f"train/{n:09d}/photograph.jpg" for n in chosen],
            "version": [f"etag-{n:032x}-{int(new and n % 100 == 0)}" for n in chosen],
            "row": np.arange(start, start + len(chosen)),
            "question": pa.array([QUESTION] * len(chosen), pa.binary(32)),
        }
        yield pa.table(columns, schema=LISTING)


def write(path: Path, tables: Iterator[pa.Table]) -> None:
    """A listing as a file."""
    with pa.ipc.new_file(path, LISTING) as writer:
        for table in tables:
            writer.write_table(table)


def read(path: Path) -> Iterator[pa.Table]:
    """The tables of such a file, one at a time."""
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def join(new: Path, earlier: Path) -> dict[str, Any]:
    """The counts of the plan, with seconds and the peak memory of this process."""
    counts, start = PlanCounts(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for step in plan_incremental(read(new), read(earlier), Path(folder)):
            counts.add(step)
    return {
        "explained": counts.explained,
        "carried": counts.carried,
        "removed": counts.removed,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def measured(images: int, order: str) -> dict[str, Any]:
    """One row: the join in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("new", "earlier")]
        for path in paths:
            write(path, listing(images, order, path.name == "new"))
        command = [sys.executable, "-m", "benchmarks.incremental", "--join", *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"order": order, "images": images, **json.loads(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--join", type=Path, nargs=2, help="join these two files and print the row")
    options = parser.parse_args()
    if options.join:
        print(json.dumps(join(*options.join)))
        return
    from benchmarks.machine import cpu_name  # loads torch, which the measured process does without

    rows = []
    for images in options.images:
        for order in ("sorted", "shuffled"):
            rows.append(measured(images, order))
            print(json.dumps(rows[-1]), flush=True)
    known = json.loads(OUT.read_text()) if OUT.exists() else {}  # with the row of `benchmarks.nightly`
    OUT.write_text(json.dumps(known | {"machine": cpu_name(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

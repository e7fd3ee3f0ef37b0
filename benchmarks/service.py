"""Overhead of the service: the real pipeline with 2,000 JPEGs and an engine of a fixed rate: `make bench-service`.

Everything runs as `gfi up` starts it (Valkey, SeaweedFS, SQLite, scheduler, planner, API, one worker) except for the
optimiser: instead of optimising, the worker's engine waits, like a host that waits for its GPU, at a rate of 100 images
per second. Reading, decoding, resizing, packing, uploading and committing are real, on the same cores, and should take
place during those waits.

    engine rate    100 images per second, by construction
    service rate   2,000 images / the time from the end of planning to the end of the job, as the ledger records them

A small job runs first, so that the network is loaded. Photographs: those of `benchmarks.photographs`, each cropped
slightly differently and written as JPEG of quality 90. Writes benchmarks/results/service.json: `images,
engine_images_per_s, service_images_per_s, service_over_engine`.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import cpu_name
from benchmarks.photographs import folder as photograph_folder
from gfi.cli.children import popen
from gfi.cli.stack import Stack
from gfi.domain.errors import Stopped
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.statuses import ImageStatus
from gfi.method.engine import Engine
from gfi.method.item import Item

RATE = 100.0
IMAGES = 2_000
BATCHES = (8, 32)
"""Every batch is recorded in the ledger before it is decoded (decision 5): smaller batches have more overhead."""
STEPS = 8
GRID = (14, 14)
OUT = Path(__file__).parent / "results" / "service.json"


class FixedRateEngine(Engine):
    """The real engine with its network loaded, but instead of optimising it waits: RATE images per second."""

    def explain_many(
        self,
        items: Iterable[Item],
        progress: Callable[[StepProgress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Explanation]:
        stream, steps = iter(items), 0
        while group := list(itertools.islice(stream, self.batch)):
            due = time.monotonic()
            for _ in range(STEPS):
                due += len(group) / RATE / STEPS
                time.sleep(max(0.0, due - time.monotonic()))
                steps += 1
                if progress is not None:
                    progress(StepProgress(steps, tuple(item.key for item in group)))
                if stop is not None and stop.is_set():
                    raise Stopped("stopped")
            for item in group:
                grid = np.random.default_rng(item.key).random(GRID, np.float32)
                yield Explanation(
                    item.key, 0, 0, 0.9, 0.8, 0.1, grid, STEPS, ImageStatus.OK, 0.5, 0.0, "input blurred"
                )


def worker() -> None:
    """A worker as started by `gfi worker`, but with the engine of a fixed rate."""
    from celery.__main__ import main as celery

    from workers import loaded_engines

    loaded_engines.Engine = FixedRateEngine  # type: ignore[misc]
    sys.argv = [
        "celery",
        "-A",
        "workers.app",
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        "1",
        "--queues",
        "explain,interactive",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel",
        "WARNING",
    ]
    celery()


def write_photographs(folder: Path, count: int) -> None:
    """Write `count` different JPEGs cropped from real photographs."""
    files = sorted(f for f in photograph_folder().iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png"))
    folder.mkdir(parents=True)
    for number, file in zip(range(count), itertools.cycle(files), strict=False):
        image = Image.open(file).convert("RGB")
        image.thumbnail((560, 560))
        shift = number // len(files)
        image = image.crop((shift, shift // 2, image.width - shift % 7, image.height - shift % 5))
        image.save(folder / f"{number:05}.jpg", quality=90)


def main() -> None:
    """Start the service, run a job for each batch size, and write service.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--output", type=Path, default=OUT)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker()
    with tempfile.TemporaryDirectory() as work:
        print(f"writing {options.images} photographs", flush=True)
        write_photographs(Path(work) / "photographs", options.images)
        write_photographs(Path(work) / "few", max(BATCHES))
        home = Path(work) / "home"
        environment = {**os.environ, "GFI_HOME": str(home), "GFI_THREADS": "1"}
        os.environ |= environment
        stack = Stack(home, workers=0, say=print)
        stack.start()
        log = (home / "logs" / "fixed-rate-worker.log").open("ab")
        fixed_rate = popen(
            [sys.executable, "-m", "benchmarks.service", "--worker"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            rows = []
            for batch in BATCHES:
                explain(Path(work) / "few", batch, environment)
                rows.append(explain(Path(work) / "photographs", batch, environment))
                print(json.dumps(rows[-1]), flush=True)
        finally:
            fixed_rate.terminate()
            fixed_rate.wait(60)
            stack.stop()
    options.output.write_text(json.dumps(rows, indent=1) + "\n")


def explain(folder: Path, batch: int, environment: dict[str, str]) -> dict[str, Any]:
    """Run one job to its end; returns its row of service.json."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gfi.cli.main",
            "submit",
            "--dataset",
            str(folder),
            "--batch",
            str(batch),
            "--save",
            "none",
            "--wait",
            "--json",
        ],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    job = json.loads(done.stdout)
    progress = job["progress"]
    images = progress["done"]
    took = job["finished_at"] - job["planned_at"]
    return {
        "images": images,
        "device": cpu_name(),
        "batch": batch,
        "engine_images_per_s": RATE,
        "service_images_per_s": round(images / took, 2),
        "service_over_engine": round(images / took / RATE, 3),
        "seconds": round(took, 1),
    }


if __name__ == "__main__":
    main()

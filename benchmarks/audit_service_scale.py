"""The screening task of an audit on a million results of 1,000 classes: `make bench-audit-scale`.

What a control worker does for S1, S2, S3 and S5: reads columns of results from SQLite, parts of 1,000 images from an
S3 server on this machine, boxes and two columns from a manifest, and screens. The photographs do not exist, so S4 is
left out. One part's masks are stored under a thousand keys, and rows are written by SQL: only the task is timed.

Adds a row to benchmarks/results/audit_scale.json: seconds until the stream had ended and of the task, seconds of the
processor (which other work on the machine changes little), and the peak of resident memory of the process that did it.

    python -m benchmarks.audit_service_scale [--results 1000000] [--no-write]
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from benchmarks.audit_scale import RESULTS
from benchmarks.machine import cpu_name
from benchmarks.scale_listing import s3_server
from gfi.audit.settings import AuditSettings
from gfi.datasets import manifest
from gfi.datasets.annotations.boxes import Box
from gfi.domain.job import DatasetRef, JobConfig, ModelRef
from gfi.domain.layer_names import Layers
from gfi.domain.presets import recipe
from gfi.domain.result import Result
from gfi.domain.states import AuditState, JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs.audits.files import settings_json
from gfi.jobs.audits.screen import Stores, screen_job
from gfi.store import parts
from gfi.store.database import Database, upgrade
from gfi.store.objects import Bucket
from gfi.store.queries import Audit, Job
from gfi.store.settings import Settings
from gfi.store.tables import parts as parts_table
from gfi.store.tables import results as results_table

CLASSES = 1000
PART = 1000
SIDE = 224.0


def class_of(row: int) -> int:
    """The class of an image."""
    return row * 7919 % CLASSES


def prepared(folder: Path, results: int, s3: dict[str, Any]) -> tuple[Settings, Job, Audit]:
    """Rows, parts and manifest of so many results."""
    settings = Settings(database_url=f"sqlite:///{folder / 'gfi.db'}", redis_url="redis://unused", **s3)
    database, bucket = Database(settings.require_database()), Bucket.from_settings(settings)
    upgrade(database)
    bucket.ensure()
    path = folder / "manifest.parquet"
    written = manifest.write(_entries(results), path, {"dataset": "folder:/nowhere", "kind": "folder"})
    bucket.put("jobs/j/manifest.parquet", path.read_bytes())
    part = _part()
    for number in range(-(-results // PART)):
        key = f"parts/j/{number:06d}.parquet"
        bucket.put(key, part.data)
        start = number * PART
        stop = min(results, start + PART)
        columns = {
            "job_id": "j",
            "method": "gfi",
            "target_rank": 0,
            "status": ImageStatus.OK.value,
            "part_id": f"p{number:06d}",
            "shard_id": "s",
            "created_at": 0.0,
            "fence": 1,
        }
        rows = [
            columns | {"row": start + i, "key": f"{start + i}.jpg", "part_row": i}
            for i in range(stop - start)
        ]
        values = {"fence": 1, "manifest_key": "m", "start": start, "stop": stop, "created_at": 0.0}
        with database.begin() as connection:
            connection.execute(sa.insert(results_table), rows)
            connection.execute(
                sa.insert(parts_table).values(
                    id=f"p{number:06d}",
                    job_id="j",
                    shard_id="s",
                    key=key,
                    sha256=part.sha256,
                    bytes=len(part.data),
                    rows=PART,
                    **values,
                )
            )
    database.dispose()
    return settings, _job(written), _audit()


def _entries(results: int) -> Iterator[manifest.Entry]:
    for row in range(results):
        box = Box(None, 20.0, 20.0, 120.0, 120.0)
        extra = {"site": "ABC"[row % 3], "age": row % 90}
        name = f"class {class_of(row)}"
        yield manifest.Entry(row, f"{row}.jpg", 1, "v", name, class_of(row), (box,), extra)


def _part() -> parts.PartFile:
    draw = np.random.default_rng(0)
    rows = [
        Result(
            row=i,
            key=f"{i}.jpg",
            status=ImageStatus.OK,
            target=class_of(i),
            prediction=class_of(i),
            probability=0.9,
            iterations=40,
            original_size=(int(SIDE), int(SIDE)),
            box=(0.0, 0.0, SIDE, SIDE),
            grid=draw.random((14, 14), dtype=np.float32) ** 4,
        )
        for i in range(PART)
    ]
    header = parts.PartHeader(
        *("j", "s", 1, "d" * 64, "m" * 64, {}, {}, {}),
        align_corners=False,
        input_size=(int(SIDE), int(SIDE)),
        code_version="bench",
    )
    return parts.write(header, rows)


def _job(written: manifest.Written) -> Job:
    config = JobConfig(
        dataset=DatasetRef("/nowhere", "folder"),
        model=ModelRef("net", "d" * 64),
        preset="paper",
        recipe=recipe("paper"),
        layers=Layers("conv", ("conv",)),
        target="auto",
    )
    given: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    names = [f"class {k}" for k in range(CLASSES)]
    model = {"classes": CLASSES, "class_names": names, "input_size": [int(SIDE), int(SIDE)]}
    given |= {
        "id": "j",
        "state": JobState.SUCCEEDED,
        "stored_config": config.to_json(),
        "model": model,
        "manifest_key": "jobs/j/manifest.parquet",
        "manifest_digest": written.sha256,
        "listing_digest": written.listing,
        "total": written.count,
    }
    return Job(**given)


def _audit() -> Audit:
    given: dict[str, Any] = dict.fromkeys(Audit.__dataclass_fields__)
    given |= {"id": "a", "job_id": "j", "state": AuditState.SCREENING, "secret": "secret", "options": {}}
    return Audit(**given | {"settings": settings_json(AuditSettings())})


def measured(settings: Settings, job: Job, audit: Audit) -> dict[str, Any]:
    """Screens in this process. Returns the row."""
    database, bucket = Database(settings.require_database()), Bucket.from_settings(settings)
    start, worked = time.perf_counter(), time.process_time()
    read = [0.0]

    def progressed(images: int) -> None:
        read[0] = time.perf_counter() - start

    found = screen_job(Stores(settings, database, bucket), job, audit, lambda: None, progressed)
    seconds = time.perf_counter() - start
    database.dispose()
    return {
        "screens": "S1, S2, S5 and S3 of 50 classes, as a task",
        "results": found.facts["images"],
        "classes": CLASSES,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
        "reading_seconds": round(read[0], 1),
        "candidates": len(found.candidates),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "machine": cpu_name(),
    }


def main() -> None:
    """Measure in a process of its own, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=int, default=1_000_000)
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gfi-audit-scale-") as name, s3_server(Path(name) / "s3") as s3:
        given = prepared(Path(name), options.results, s3)
        with get_context("spawn").Pool(1) as pool:
            row = pool.apply(measured, given)
    print(row)
    if not options.no_write:
        rows = json.loads(RESULTS.read_text())["rows"]
        kept = [one for one in rows if one["screens"] != row["screens"]]
        RESULTS.write_text(json.dumps({"rows": [*kept, row]}, indent=1) + "\n")


if __name__ == "__main__":
    main()

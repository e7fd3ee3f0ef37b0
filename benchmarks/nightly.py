"""A night over a large dataset of which little changed: `make bench-nightly`.

A folder of 100,000 small files is planned whole and its results are written to the ledger as workers would, without a
network. Then 1 % of the files are replaced, and a job `--since` the first one is planned by the same code on PostgreSQL
with an S3 server. What such a night costs on the device is the share of images that have to be explained. Goals: at
most 60 s of planning, and at most 2 % of the images. Adds the row `nightly` to benchmarks/results/incremental.json.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_name
from benchmarks.scale import LEASE_S, server
from benchmarks.scale_listing import s3_server
from gfi.domain.ids import new_id
from gfi.domain.records import PartRecord
from gfi.domain.result import Result
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.jobs.submit import JobRequest, submit
from gfi.store import ledger, queries
from gfi.store.database import Database, upgrade
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from scheduler.services import ControlServices
from scheduler.tasks import perform

OUT = Path(__file__).parent / "results" / "incremental.json"
CHANGED = 0.01
FOLDERS = 100
MODEL: dict[str, Any] = {
    "reference": "net",
    "digest": "d" * 64,
    "input_size": [8, 8],
    "classes": 2,
    "class_names": ["cat", "dog"],
    "wordnet_ids": ["n01", "n02"],
    "layers": [{"name": "conv", "type": "Conv2d", "shape": [4, 4, 4], "rectified": True}],
    "chosen": {"tuned": {"inverted": "conv", "weighed": ["conv"], "how": "automatic"}},
    "parameters": 1,
}


def write_files(folder: Path, numbers: range, content: bytes) -> None:
    """The files of these numbers. They are listed and never decoded."""
    for number in numbers:
        place = folder / f"{number % FOLDERS:02d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:08d}.jpg").write_bytes(content)


def planned(services: ControlServices, folder: Path, **request: Any) -> tuple[str, float]:
    """A job over the folder, and the seconds that planning it took."""
    asked = JobRequest(dataset=str(folder), model="net", target="predicted", preset="tuned", **request)
    job = submit(services.database, services.settings, asked, new=True).job_id
    while (claim := ledger.claim_control(services.database, "bench", LEASE_S)) is not None:
        if claim.kind is ControlKind.PLAN:
            start = time.perf_counter()
            perform(services, claim, threading.Event())
            return job, time.perf_counter() - start
        ledger.finish_control(services.database, claim)
    raise RuntimeError(f"job {job} was not planned")


def explained(services: ControlServices, job: str) -> int:
    """Write a result of each image that the job explains, and end it. Returns how many images it explained."""
    database, images = services.database, 0
    ledger.freeze_profile(database, job, {"device_kind": "cpu", "batch": 4}, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        keys = manifest_keys(services, job, Path(folder))
        while (claim := ledger.claim_shard(database, "bench", "explain", LEASE_S)) is not None:
            rows = [
                Result(row=row, key=keys[row], status=ImageStatus.OK, probability=0.5, target=row % 2)
                for row in range(claim.start, claim.stop)
            ]
            part = PartRecord(
                new_id(), f"parts/{job}/{claim.shard_id}/{new_id()}.parquet", "0" * 64, 100, len(rows)
            )
            if not ledger.commit_shard(database, claim, claim.stop, part, rows):
                raise RuntimeError("a shard was not committed")
            images += len(rows)
    ledger.finish_jobs(database)
    return images


def manifest_keys(services: ControlServices, job: str, folder: Path) -> list[str]:
    """The keys of a job in the order of its rows."""
    from gfi.datasets.manifest import Manifest

    record = queries.get_job(services.database, job)
    if record.manifest_key is None:
        raise RuntimeError(f"job {job}: {record.error}")
    services.bucket.get_to(record.manifest_key, folder / "manifest.parquet")
    return [entry.key for entry in Manifest.open(folder / "manifest.parquet")]


def measure(images: int) -> dict[str, Any]:
    """The row of so many images."""
    with tempfile.TemporaryDirectory(prefix="gfi-nightly-") as made, server() as url:
        folder = Path(made) / "photographs"
        write_files(folder, range(images), b"first")
        database = Database(url)
        upgrade(database)
        with s3_server(Path(made) / "s3") as s3:
            settings = Settings(
                database_url=url,
                redis_url="redis://unused",
                home=Path(made) / "home",
                dataset_roots=(folder,),
                **s3,
            )
            bucket = Bucket.from_settings(settings)
            bucket.ensure()
            ledger.save_model(database, "net", MODEL["digest"], MODEL, actor="bench")
            services = ControlServices(settings, database, bucket)
            first, whole_s = planned(services, folder)
            whole = explained(services, first)
            write_files(folder, range(0, images, round(1 / CHANGED)), b"replaced")
            second, seconds = planned(services, folder, since=first)
            again = explained(services, second)
            done = queries.job_progress(database, second).done
        database.dispose()
    if (whole, done) != (images, images):
        raise RuntimeError(f"{whole} and {done} of {images} images have results")
    return {
        "images": images,
        "changed": CHANGED,
        "explained": again,
        "share_of_device_time": again / whole,
        "planning_s": round(seconds, 1),
        "planning_whole_s": round(whole_s, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=OUT)
    options = parser.parse_args()
    row = measure(options.images)
    print(json.dumps(row))
    known = json.loads(options.output.read_text()) if options.output.exists() else {"machine": cpu_name()}
    options.output.write_text(json.dumps(known | {"nightly": row}, indent=1) + "\n")


if __name__ == "__main__":
    main()

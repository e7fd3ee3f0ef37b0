"""The streaming screens on a million results and 1,000 classes: `make bench-audit-scale`.

S1 (both scales), S2 with a box in every image and S5 with eleven numbers and a column of words read chunks of 8,192
results with 14×14 grids. One chunk of drawn grids is used again and again: what is timed is the screens, not reading
parts. The candidates, the z of 1,000 classes and the shortlist are part of the time. S3 on one class of 500 images and
S4 on one class of 60 photographs of 224×224 are timed apart.

    python -m benchmarks.audit_scale [--results 1000000] [--output FILE]
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import cpu_name
from gfi.audit.audit import Screens, propose_clusters, propose_repeats
from gfi.audit.candidates import shortlist
from gfi.audit.explained import Explained
from gfi.audit.properties import ClassMeans
from gfi.audit.settings import AuditSettings
from gfi.audit.split import in_screening_half
from gfi.domain.pixel_properties import PROPERTIES

RESULTS = Path(__file__).parent / "results" / "audit_scale.json"
CHUNK = 8192


def streaming(results: int, classes: int) -> dict[str, Any]:
    """Seconds of the streaming screens, and the peak of resident memory of this process in MiB."""
    draw = np.random.default_rng(0)
    settings = AuditSettings()
    grids = draw.random((CHUNK, 14, 14), dtype=np.float32) ** 4
    corners = draw.uniform(0, 0.6, (CHUNK, 2))
    boxes = np.concatenate([corners, corners + 0.35], axis=1)
    owners = np.arange(CHUNK)
    columns = {name: draw.standard_normal(CHUNK) for name in (*PROPERTIES, "age", "exposure")}
    columns["jpeg_quality"][::2] = np.nan  # not every file is a JPEG
    words = draw.choice(["A", "B", "C"], CHUNK)
    screens, means = Screens(classes, settings), ClassMeans(classes)
    start = time.perf_counter()
    for first in range(0, results, CHUNK):
        n = min(CHUNK, results - first)
        of = (np.arange(first, first + n) * 7919) % classes
        half = in_screening_half([f"photographs/{i}.jpg" for i in range(first, first + n)], "secret")
        screens.add(grids[:n], of, half, (boxes[:n], owners[:n]))
        means.add({k: v[:n][half] for k, v in columns.items()} | {"camera": words[:n][half]}, of[half])
    read = time.perf_counter() - start
    proposed = screens.proposed() or []
    kept = shortlist(proposed, settings)
    means.screen()
    return {
        "screens": "S1, S2, S5",
        "results": results,
        "classes": classes,
        "seconds": round(time.perf_counter() - start, 1),
        "reading_seconds": round(read, 1),
        "proposed": len(proposed),
        "candidates": len(kept),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "machine": cpu_name(),
    }


def one_class() -> list[dict[str, Any]]:
    """Seconds of S3 and of S4 for one class."""
    draw = np.random.default_rng(0)
    settings = AuditSettings()
    grids = draw.random((1000, 14, 14), dtype=np.float32) ** 4
    classes = np.repeat([0, 1], 500)
    features = draw.standard_normal((1000, 256)).astype(np.float16)  # as parts store them, projected
    data = Explained(classes, grids, np.ones(1000, bool), features=features)
    pixels = draw.integers(0, 256, (1000, 224, 224, 3), dtype=np.uint8)
    start = time.perf_counter()
    propose_clusters(data, [0], settings)
    middle = time.perf_counter()
    propose_repeats(data, [0], lambda rows: pixels[rows], settings)
    end = time.perf_counter()
    return [
        {
            "screens": "S3",
            "results": 500,
            "classes": 1,
            "seconds": round(middle - start, 2),
            "machine": cpu_name(),
        },
        {
            "screens": "S4",
            "results": 60,
            "classes": 1,
            "seconds": round(end - middle, 2),
            "machine": cpu_name(),
        },
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = [streaming(options.results, 1000), *one_class()]
    for row in rows:
        print(row)
    mine = {row["screens"] for row in rows}
    others = [row for row in json.loads(options.output.read_text())["rows"] if row["screens"] not in mine]
    options.output.write_text(json.dumps({"rows": rows + others}, indent=1) + "\n")


if __name__ == "__main__":
    main()

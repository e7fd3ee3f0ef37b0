"""What `make bench-drift` computes, on small inputs; the training of networks is tested with `benchmarks.planted`."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import drift, planted
from benchmarks.planted import Plant
from tests.unit.drift.tables import run, table

DOCS = Path(__file__).parents[3] / "docs" / "drift.md"


def runs(*seeds: int, corner: float = 0.0) -> list[pa.Table]:
    """Training runs of ten classes with 60 images each; class TARGET may have its masks in a corner."""
    where = {drift.TARGET: corner}
    return [table(list(run(np.random.default_rng(seed), 10, 60, noise=0.3, corner=where))) for seed in seeds]


def test_a_model_that_learnt_the_corner_fails_and_another_run_does_not() -> None:
    clean = runs(0, 1, 2, 3)
    floor = drift.floor_from(clean)
    (shortcut,), (other,) = runs(4, corner=1.0), runs(5)
    failed = drift.judged("corner", 0, 60, clean[0], shortcut, floor)
    assert (failed["verdict"], failed["failed"]) == ("fail", [f"class {planted.CLASSES[drift.TARGET]}"])
    assert failed["place"] == "lower left corner"
    assert drift.judged("clean", 0, 60, clean[0], other, floor)["failed"] == []


def test_a_run_compared_with_itself_is_at_distance_0() -> None:
    clean = runs(0, 1, 2)
    assert drift.judged("same", 0, 60, clean[0], clean[0], drift.floor_from(clean))["largest"] == 0.0


def test_results_are_those_of_the_network() -> None:
    images = planted.draw_images(0, 2, Plant(), 1)
    made, right = drift.results(planted.network(0).eval(), images, "grad-cam")
    assert (len(made), made.column("target").to_pylist()) == (20, images.labels.tolist())
    assert 0 <= right <= 1


def test_scale_pairs_what_both_have() -> None:
    row = drift.scale(3000)
    assert 2800 < row["pairs"] <= 3000


def test_the_table_of_the_docs_is_made_of_the_stored_rows() -> None:
    assert drift.table(json.loads(drift.RESULTS_FILE.read_text())["rows"]) in DOCS.read_text()

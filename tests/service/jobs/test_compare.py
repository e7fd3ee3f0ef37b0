"""Comparison of two finished jobs, from real parts in a real bucket."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from gfi.cli.servers import Server
from gfi.domain.digests import canonical
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.drift.errors import DriftError
from gfi.drift.floors import FloorLevel
from gfi.drift.gate import parse_gate
from gfi.drift.verdicts import Verdict
from gfi.jobs.compare import Compared, compare_jobs, compare_unpaired
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.result_query import ResultQuery, filters_of
from tests.service.jobs import finished
from tests.service.jobs.finished import finished_job
from tests.service.store.ledger_actors import plan
from tests.service.store.test_objects import settings_for
from tests.unit.drift.tables import run

TODAY = date(2026, 11, 28)


@pytest.fixture
def bucket(s3: Server) -> Iterator[Bucket]:
    bucket = Bucket.from_settings(settings_for(s3.url, s3_bucket="compare-tests"))
    bucket.ensure()
    yield bucket
    bucket.delete_many([entry.key for entry in bucket.list("")])


def results(
    seed: int, images: int = 60, corner: Mapping[int, float] | None = None, **columns: Any
) -> list[Result]:
    """A training run's results of two classes, the listing not in the order of its keys."""
    rows = run(np.random.default_rng(seed), 2, images, noise=0.3, corner=corner or {})
    made = [
        Result(
            row=0,
            key=row["key"],
            status=ImageStatus.OK,
            **{"version": "v1", "target": row["target"], "prediction": row["prediction"]} | columns,
            grid=np.frombuffer(row["grid"], "<f4").reshape(7, 7),
            original_size=(56, 56),
            box=(0.0, 0.0, 56.0, 56.0),
        )
        for row in rows
    ]
    return made[::-1]


def compared(database: Database, bucket: Bucket, a: str, b: str, **how: Any) -> Compared:
    return compare_jobs(database, bucket, a, b, today=TODAY, **how)


def test_the_same_weights_twice_are_at_distance_exactly_0(database: Database, bucket: Bucket) -> None:
    a, b = (finished_job(database, bucket, results(0), shard=shard) for shard in (50, 17))
    made = compared(database, bucket, a, b)
    assert made.level is FloorLevel.SAME_PROFILE
    assert (made.comparison.pairs, made.comparison.bit_equal, made.comparison.largest) == (120, 120, 0.0)
    assert "120 masks compared, all of them equal bit by bit" in " ".join(made.sentences())


def test_a_label_flips_where_only_one_network_finds_it(
    database: Database, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "RECORD", finished.RECORD | {"output": "sigmoid"})
    # Of class 0, whose first label neither finds; the second job does not find the last one.
    seen = [[2, 0, 0, 0], [None, 0, 0, None]]
    jobs = []
    for weights, predictions in zip("ab", seen, strict=True):
        made = results(0, images=4)[-4:]
        rows = [replace(row, label="cat", prediction=p) for row, p in zip(made, predictions, strict=True)]
        rows[-1] = replace(rows[-1], status=ImageStatus.TARGET_LOST)
        jobs.append(finished_job(database, bucket, rows, weights=weights, target="labels"))
    counts = compared(database, bucket, *jobs).comparison.counts
    assert (counts.flipped, counts.paired) == (1, 3)
    filters = filters_of(database, queries.get_job(database, jobs[0]), ResultQuery(differs_from=jobs[1]))
    assert [row.row for row in queries.list_results(database, jobs[0], filters=filters)] == [3]


def test_a_class_that_moved_fails_the_gate_and_another_run_does_not(
    database: Database, bucket: Bucket
) -> None:
    a = finished_job(database, bucket, results(0), weights="a")
    floor = [finished_job(database, bucket, results(seed), weights="bcd"[seed - 1]) for seed in (1, 2, 3)]
    clean = finished_job(database, bucket, results(4), weights="e")
    cornered = finished_job(database, bucket, results(5, corner={1: 1.0}), weights="f")
    gate = parse_gate("")
    failed = compared(database, bucket, a, cornered, floor_jobs=floor, gate=gate)
    assert failed.floor is not None
    assert (failed.floor.level, failed.floor.runs, failed.floor.pairs) == (FloorLevel.OTHER_TRAINING, 4, 6)
    assert failed.gate is not None
    verdicts = {check.name: check.verdict for check in failed.gate.checks}
    assert (verdicts["class dog"], verdicts["class cat"] is Verdict.FAIL) == (Verdict.FAIL, False)
    assert any("class dog: " in text and "lower left corner" in text for text in failed.sentences())
    json.dumps(failed.to_json(), allow_nan=False)
    # The floor is stored in the bucket with the first job, and read from there.
    (stored,) = bucket.list(f"jobs/{a}/floors/")
    again = compared(database, bucket, a, clean, floor_jobs=floor, gate=gate)
    assert again.floor == failed.floor
    assert [entry.key for entry in bucket.list(f"jobs/{a}/floors/")] == [stored.key]
    assert again.gate is not None
    assert again.gate.verdict is not Verdict.FAIL


def test_a_training_run_counts_once_in_a_floor_however_many_jobs_explained_it(
    database: Database, bucket: Bucket
) -> None:
    a = finished_job(database, bucket, results(0), weights="a")
    floor = [finished_job(database, bucket, results(1), weights="b") for _ in range(2)]
    b = finished_job(database, bucket, results(2), weights="c")
    made = compared(database, bucket, a, b, floor_jobs=floor, gate=parse_gate(""))
    assert made.floor is not None
    assert (made.floor.runs, made.floor.pairs, made.floor.repeated) == (2, 1, 1)
    assert made.gate is not None
    assert (made.gate.checks[0].name, made.gate.verdict) == ("floor", Verdict.UNDECIDED)
    said = "the floor has 2 runs; 1 more job has the weights of one of them; this gate requires 3"
    assert made.gate.checks[0].sentence.startswith(said)
    assert any("1 more job has the weights of one of them" in sentence for sentence in made.sentences())
    assert compared(database, bucket, a, b, floor_jobs=floor).floor == made.floor  # read from the bucket
    assert compared(database, bucket, a, b, floor_jobs=floor[:1]).floor == replace(made.floor, repeated=0)


def test_errors_and_other_versions_are_counted_and_not_compared(database: Database, bucket: Bucket) -> None:
    whole = results(0, images=5)
    broken = [Result(row=0, key=r.key, status=ImageStatus.ERROR, error="unreadable") for r in whole[:2]]
    a = finished_job(database, bucket, whole)
    b = finished_job(database, bucket, broken + results(0, images=5, version="v2")[2:4] + whole[4:])
    counts = compared(database, bucket, a, b).comparison.counts
    assert (counts.paired, counts.other_version, counts.without_mask) == (6, 4, 0)


def test_metrics_of_both_jobs_are_compared(database: Database, bucket: Bucket) -> None:
    jobs = [
        finished_job(
            database, bucket, results(0, images=20, metrics={"deletion": value}), metrics=("deletion",)
        )
        for value in (0.2, 0.5)
    ]
    change = compared(database, bucket, *jobs).comparison.metrics["deletion"]
    assert (change.n, change.change) == (40, pytest.approx(0.3))


def test_what_cannot_be_compared_says_what_differs_and_what_can(database: Database, bucket: Bucket) -> None:
    a = finished_job(database, bucket, results(0, images=12))
    other = [Result(**{**vars(r), "key": f"new/{r.key}"}) for r in results(1, images=12)]
    b = finished_job(database, bucket, other)
    with pytest.raises(DriftError, match=r"24 only a, 24 only b.*--unpaired"):
        compared(database, bucket, a, b)
    with pytest.raises(DriftError, match="is compared with the floor"):
        compared(database, bucket, a, b, floor_jobs=[b])
    predicted = finished_job(database, bucket, results(0, images=12), target="predicted")
    assert compared(database, bucket, a, predicted).differences == ("target: auto and predicted",)
    with pytest.raises(
        DriftError, match=r"two jobs with the same options; .* differ in target: auto and predicted"
    ):
        compared(database, bucket, a, predicted, gate=parse_gate(""))
    running = plan(database)
    with pytest.raises(DriftError, match=f"job {running} is running"):
        compared(database, bucket, a, running)


def test_a_model_that_predicts_every_image_otherwise_fails_the_gate_though_no_mask_is_left(
    database: Database, bucket: Bucket
) -> None:
    a, f = (
        finished_job(database, bucket, results(seed), weights=weights)
        for seed, weights in ((0, "a"), (1, "f"))
    )
    lost = finished_job(database, bucket, results(2, target=3, prediction=3), weights="b")
    text = "[floor]\nmin_runs = 2\n[limits]\nflips = 0.05"
    made = compared(database, bucket, a, lost, floor_jobs=[f], gate=parse_gate(text))
    assert (made.comparison.pairs, made.comparison.counts.flipped) == (0, 120)
    assert made.gate is not None
    assert made.gate.verdict is Verdict.FAIL
    verdicts = {check.name: check.verdict for check in made.gate.checks}
    assert verdicts["limit flips"] is Verdict.FAIL
    lost_classes = [verdict for name, verdict in verdicts.items() if name.startswith("flips of class ")]
    assert lost_classes == [Verdict.FAIL, Verdict.FAIL]
    assert verdicts["pooled"] is Verdict.UNDECIDED
    sentences = list(made.sentences())
    assert "no masks compared, since no image of both jobs is explained for the same class" in sentences
    assert not [sentence for sentence in sentences if "nan" in sentence]
    canonical(made.to_json())  # can be stored


def test_masks_of_different_images_are_compared_without_pairs(database: Database, bucket: Bucket) -> None:
    a = finished_job(database, bucket, results(0))
    same = finished_job(database, bucket, [Result(**{**vars(r), "key": f"n{r.key}"}) for r in results(1)])
    moved = finished_job(database, bucket, results(2, corner={0: 0.5}))
    assert compare_unpaired(database, bucket, a, same).p > 0.05
    found = compare_unpaired(database, bucket, a, moved)
    assert found.p <= 0.01
    assert found.class_p[0] <= 0.01 < found.class_p[1]

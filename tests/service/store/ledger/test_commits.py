"""The commit of a shard."""

import pytest

from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.domain.sums import NumberSums
from gfi.store import ledger, queries
from gfi.store.database import Database
from tests.service.store.ledger_actors import (
    claim,
    commit,
    finish_all,
    part,
    plan,
    recorded,
    records,
    states,
)


def test_a_commit_may_cover_a_prefix_and_leave_the_rest_to_others(database: Database) -> None:
    job = plan(database, total=10, size=10)
    assert commit(database, claim(database), upto=3)
    assert states(database, job) == [(0, 3, "done"), (3, 10, "pending")]
    assert commit(database, claim(database), upto=9)
    finish_all(database)
    assert states(database, job) == [(0, 3, "done"), (3, 9, "done"), (9, 10, "done")]
    assert recorded(database, job) == dict.fromkeys(range(10), "ok")
    progress = queries.job_progress(database, job)
    assert (progress.done, progress.by_status["ok"], progress.shards["done"]) == (10, 10, 3)


def test_a_commit_whose_answer_was_lost_is_told_again_and_written_once(database: Database) -> None:
    job = plan(database, total=4)
    held = claim(database)
    assert commit(database, held, upto=2)
    assert commit(database, held, upto=2)
    assert not commit(database, held, upto=4)
    assert recorded(database, job) == {0: "ok", 1: "ok"}
    assert len(list(queries.iterate_parts(database, job))) == 1


def test_metrics_of_several_methods_and_targets_are_kept_beside_each_other(database: Database) -> None:
    job = plan(database, total=2)
    held = claim(database)
    rows = [
        Result(row=row, key="k", status=ImageStatus.OK, method=method, target_rank=rank, metrics=metrics)
        for row in (0, 1)
        for method, rank, metrics in (
            ("gfi", 0, {"deletion": 0.25, "entropy": float("nan")}),
            ("gfi", 1, {}),
            ("grad-cam", 0, {"deletion": 0.5}),
        )
    ]
    assert ledger.commit_shard(database, held, 2, part(held, 6), rows)
    assert queries.job_progress(database, job).done == 2
    assert queries.means(database, job) == {"deletion": NumberSums(0.25, 2)}
    assert queries.means(database, job, method="grad-cam") == {"deletion": NumberSums(0.5, 2)}


def test_a_number_that_is_defined_for_each_class_is_also_averaged_by_class(database: Database) -> None:
    job = plan(database, total=4)
    held = claim(database)
    hits = [("cat", 7, 1.0), ("cat", 7, 1.0), ("cat", 7, 0.0), (None, 3, 1.0)]
    rows = [
        Result(
            row=row, key="k", status=ImageStatus.OK, label=label, target=target, metrics={"pointing_hit": hit}
        )
        for row, (label, target, hit) in enumerate(hits)
    ]
    assert ledger.commit_shard(database, held, 4, part(held, 4), rows)
    mean = queries.means(database, job)["pointing_hit"]
    assert (mean.mean, mean.count, mean.classes) == (0.75, 4, 2)
    assert mean.class_mean == pytest.approx((2 / 3 + 1) / 2)


def test_results_that_are_not_the_shards_are_refused(database: Database) -> None:
    plan(database)
    held = claim(database)
    for rows, upto in (([0, 1, 2], 4), ([1, 2, 3, 4], 4), ([], 0), ([0, 1, 2, 3, 4], 5)):
        with pytest.raises(ValueError, match=r"images|rows|commit up to"):
            ledger.commit_shard(database, held, upto, None, records(rows))
    assert commit(database, held)

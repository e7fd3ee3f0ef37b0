"""Several classes of each image in one job: one row per class, but each image counts once."""

from collections import Counter

import numpy as np
import pytest

from gfi.jobs import report
from gfi.store import ledger, queries
from gfi.store.errors import StoreError
from gfi.store.part_cache import PartCache
from gfi.store.queries import Filters
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from workers.services import WorkerServices

TOP = 3


@pytest.mark.parametrize("batch", [2, 4])
def test_each_of_the_most_probable_classes_has_a_row_and_the_image_counts_once(
    services: WorkerServices, batch: int
) -> None:
    job = submit(services, top=TOP, batch=batch)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=100)
    assert [(row.row, row.target_rank) for row in rows] == [
        (image, rank) for image in range(PHOTOGRAPHS) for rank in range(TOP)
    ]
    for image in range(PHOTOGRAPHS):
        mine = rows[TOP * image : TOP * image + TOP]
        assert len({row.target for row in mine}) == TOP
        assert mine[0].target == mine[0].prediction
        chances = [row.probability for row in mine]
        assert chances == sorted(chances, reverse=True)
    progress = queries.job_progress(services.database, job)
    assert progress.done == sum(progress.by_status.values()) == PHOTOGRAPHS
    assert report.summary(services.database, job).total == PHOTOGRAPHS
    second = queries.list_results(services.database, job, filters=Filters(target_rank=1), limit=100)
    assert [row.target_rank for row in second] == [1] * PHOTOGRAPHS

    # The part stores them by image and rank, and each result finds its own mask.
    one = queries.get_result(services.database, job, 4, target_rank=2)
    part_cache = PartCache(services.database, services.bucket)
    assert len(part_cache.part(one.part_id)) == TOP * PHOTOGRAPHS
    stored = part_cache.explanation(one).result
    assert (stored.row, stored.target_rank, stored.target) == (4, 2, one.target)
    assert stored.grid is not None
    names = Counter(found.key.rpartition("/")[2] for found in services.bucket.list(f"jobs/{job}/images/"))
    assert {"00000004-mask.png", "00000004-1-mask.png", "00000004-2-mask.png"} <= set(names)


def test_half_a_pass_over_the_classes_of_an_image_is_no_more_than_its_share(services: WorkerServices) -> None:
    job = submit(services, top=TOP, batch=4)
    claim = ledger.claim_shard(services.database, "worker", "explain", 60)
    assert claim is not None
    ledger.freeze_profile(services.database, job, {"batch": 4, "device_kind": "cpu"}, "cpu")
    ledger.renew_lease(services.database, claim, 60, step=8, in_flight=range(4))
    assert queries.job_progress(services.database, job).partial == pytest.approx(4 / TOP * 8 / 16)


def test_the_first_class_has_the_mask_of_a_job_that_asks_for_one(services: WorkerServices) -> None:
    one, three = submit(services), submit(services, top=TOP)
    assert explain(services) == explain(services) == "done"

    def grid(job: str, image: int) -> bytes:
        found = queries.get_result(services.database, job, image)
        grid = PartCache(services.database, services.bucket).explanation(found).result.grid
        assert grid is not None
        return np.ascontiguousarray(grid).tobytes()

    for image in range(PHOTOGRAPHS):
        assert grid(one, image) == grid(three, image)


def test_an_image_that_cannot_be_read_has_one_row(services: WorkerServices) -> None:
    folder = services.settings.dataset_roots[0] / "photographs"
    broken = sorted(folder.iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:200])
    job = submit(services, top=2)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=100)
    assert Counter(row.row for row in rows) == {i: 1 if i == 1 else 2 for i in range(PHOTOGRAPHS)}
    assert rows[2].status == "error"
    ledger.finish_jobs(services.database)
    assert queries.get_job(services.database, job).shown_state == "partial"


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        ({"target": 1}, "leave target and rather_than out"),
        ({"rather_than": 1}, "leave target and rather_than out"),
        ({"top": 6}, "has 5 classes, not 6"),
        ({"top": 0}, "top: Input should be greater than or equal to 1"),
    ],
)
def test_what_top_cannot_go_with_is_said(
    services: WorkerServices, asked: dict[str, object], advice: str
) -> None:
    with pytest.raises(StoreError, match=advice):
        submit(services, **{"top": 2} | asked)


def test_a_model_without_class_names_has_its_classes_by_index(services: WorkerServices) -> None:
    job = submit(services, target=4)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=100)
    assert {row.target for row in rows} == {4}
    with pytest.raises(StoreError, match="target 5 is not a class of small"):
        submit(services, target=5)

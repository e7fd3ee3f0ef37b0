"""The target `labels`: an image with several labels has a result for each, and (image, label) is what is counted."""

import json
from collections import Counter

from gfi.jobs import report
from gfi.store import ledger, queries
from gfi.store.ledger.sums import sums_of
from gfi.store.queries import Filters
from tests.service.workers.conftest import explain, submit
from workers.services import WorkerServices

LABELS = [["1", "3"], ["0"], [], ["4", "9"], ["1", "2"]]
"""Of five photographs, for a network of five classes; the last one cannot be read."""


def test_each_label_of_an_image_is_explained_measured_and_counted(services: WorkerServices) -> None:
    folder = services.settings.dataset_roots[0] / "photographs"
    files = sorted(folder.iterdir())
    files[4].write_bytes(files[4].read_bytes()[:200])
    box = {"label": "3", "left": 0, "top": 0, "right": 40, "bottom": 40}
    (folder / "list.jsonl").write_text(
        "\n".join(
            json.dumps({"key": file.name, "label": labels, "boxes": [box]})
            for file, labels in zip(files, LABELS, strict=False)
        )
    )
    job = submit(services, dataset=str(folder / "list.jsonl"), target="labels", metrics=("energy_in_box",))
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=100)
    asked = [(row.row, row.target_rank, row.label, row.target, row.status == "error") for row in rows]
    predicted = rows[3].prediction
    assert asked == [
        *(
            (0, 0, "1", 1, False),
            (0, 1, "3", 3, False),
            (1, 0, "0", 0, False),
            (2, 0, None, predicted, False),
        ),
        *((3, 0, "4", 4, False), (4, 0, "1", None, True), (4, 1, "2", None, True)),
    ]
    measured = {(row.row, row.label) for row in rows if row.metrics}
    assert measured <= {(0, "3")}, "a box counts for its own label only"

    progress = queries.job_progress(services.database, job)
    assert progress.done == sum(progress.by_status.values()) == len(LABELS), "progress counts images"
    summary = report.summary(services.database, job)
    assert (summary.total, summary.counts["error"]) == (7, 2), "means count labels"
    groups, _ = queries.group_results(services.database, job, "label", {})
    assert Counter({group.value: group.images for group in groups}) == {
        **{"0": 1, "1": 2, "2": 1, "3": 1, "4": 1},
        None: 1,
    }
    filtered, _ = queries.group_results(services.database, job, "label", {}, Filters(carried=False))
    assert Counter({g.value: g.images for g in filtered}) == Counter({g.value: g.images for g in groups})
    assert [
        one["images"] for one in queries.failures(services.database, job) if one["status"] == "error"
    ] == [2]
    found = queries.job_sums(services.database, job, cells=True)
    assert found == sums_of(queries.iterate_results(services.database, job), every_label=True)
    retried = list(queries.rows_with_status(services.database, job, ["error"]))
    assert retried == [4], "an image is explained again once, whatever labels it has"
    assert any(
        "labels are not explained" in said
        for said in queries.get_job(services.database, job).metadata["warnings"]
    )
    ledger.finish_jobs(services.database)
    assert queries.get_job(services.database, job).shown_state == "partial"

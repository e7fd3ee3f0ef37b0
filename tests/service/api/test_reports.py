"""The report of a job as an archive."""

import io
import zipfile

from tests.service.api.conftest import World


def test_a_report_is_an_archive_with_a_page_and_its_pictures(one_world: World) -> None:
    job = one_world.explained(name="a job with a report")
    answer = one_world.call("GET", f"/v1/jobs/{job}/report.zip", "read", params={"limit": 2})
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="report-{job}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        page = archive.read("index.html").decode()
        pictures = [name for name in archive.namelist() if name.endswith((".png", ".jpg"))]
    assert "a job with a report" in page
    assert pictures
    assert all(name in page for name in pictures)
    assert one_world.call("GET", "/v1/jobs/none/report.zip").status_code == 404


def test_the_report_of_a_cancelled_job_counts_the_images_of_its_dataset(one_world: World) -> None:
    job = one_world.planned(total=24, size=8)
    assert one_world.explain_shard(broken=0)
    assert one_world.call("DELETE", f"/v1/jobs/{job}").json()["state"] == "cancelled"
    answer = one_world.call("GET", f"/v1/jobs/{job}/report.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        page = archive.read("index.html").decode()
    assert "<strong>8</strong> of 24 images explained; 16 without a result" in page


def test_a_report_shows_a_drawn_sample_the_classes_and_the_best_and_worst(one_world: World) -> None:
    job = one_world.explained(metrics=["iou_box"])

    def page(**params: int) -> str:
        answer = one_world.call("GET", f"/v1/jobs/{job}/report.zip", "read", params=params)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return archive.read("index.html").decode()

    sample = page(limit=4, seed=1)
    assert "4 of 10, drawn by class and status (seed 1)" in sample
    assert sample == page(limit=4, seed=1)
    assert sample.count('<li class="card"') == 4
    whole = page()
    assert "all 10" in whole
    assert "missing: no explained image has a box of its class" in whole
    assert "Best by Kept" in whole
    assert '<a href="#image-8">' in whole
    assert '<bdi>coffee</bdi></th><td class="n">3</td>' in whole
    assert "Left out of the means: 1 error" in whole

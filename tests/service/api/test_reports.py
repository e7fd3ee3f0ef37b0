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

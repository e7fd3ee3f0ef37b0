"""Uploaded photographs."""

import struct
import time
import zlib
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gfi.api import create_app, uploads
from gfi.datasets.sources import open_source
from gfi.domain.job import JobOptions
from gfi.store import ledger
from gfi.store.settings import Settings
from tests.service.api.conftest import World, model_record
from tests.speed import slowness


def _bomb() -> bytes:
    """A PNG of 30,000 × 30,000 pixels in a kilobyte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_uploads_become_an_interactive_job_and_bombs_do_not(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph = (one_world.photographs / one_world.names[0]).read_bytes()
    files = [("images", ("../../etc/passwd\u202e.jpg", photograph, "image/jpeg"))]
    sent = one_world.call("POST", "/v1/uploads", "submit", files=files, data={"model": "tiny"})
    assert sent.status_code == 201, sent.text
    job = sent.json()["job"]
    assert job["queue"] == "interactive"
    (kept,) = one_world.bucket.list(f"uploads/{job['dataset'].removeprefix('upload:')}/")
    assert "passwd" in kept.key
    assert ".." not in kept.key
    for data, word in (
        (_bomb(), "million"),
        (b"not a photograph", "image 1"),
        (photograph[:5000], "image 1"),
    ):
        answer = one_world.call(
            "POST", "/v1/uploads", files=[("images", ("x.png", data, "image/png"))], data={"model": "tiny"}
        )
        assert answer.status_code == 422
        assert word in answer.json()["detail"]
    unknown = one_world.call("POST", "/v1/uploads", files=files, data={"model": "tiny", "path": "/etc"})
    assert unknown.status_code == 422
    many = one_world.call("POST", "/v1/uploads", files=files * 40, data={"model": "tiny"})
    assert many.status_code in (413, 422)
    assert uploads.expire(one_world.bucket, 24.0) == 0
    monkeypatch.setattr(uploads, "EXPIRY_EVERY_S", 0.1)
    monkeypatch.setenv("GFI_API_UPLOAD_HOURS", "0.0001")
    end = time.monotonic() + 20 * slowness()
    with TestClient(create_app()):  # with its background threads
        while one_world.bucket.head(kept.key) is not None:
            assert time.monotonic() < end, "the upload is still there"
            time.sleep(0.05)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_uploads_are_read_by_their_job_and_cannot_be_named_as_a_dataset(
    one_world: World, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    if elsewhere:
        monkeypatch.setenv("GFI_DATASET_BUCKETS", "elsewhere")
        monkeypatch.setenv("GFI_DATASET_S3_ACCESS_KEY", "another store's")
    photograph = (one_world.photographs / one_world.names[0]).read_bytes()
    with TestClient(create_app()) as client:
        one_world.client, one_world.settings = client, Settings.load()
        files = [("images", ("a.jpg", photograph, "image/jpeg"))]
        sent = one_world.call("POST", "/v1/uploads", "submit", files=files, data={"model": "tiny"})
        assert sent.status_code == 201, sent.text
        job = sent.json()["job"]
        (listed,) = open_source(job["dataset"], one_world.settings).list()  # as a worker does
        assert open_source(job["dataset"], one_world.settings).fetch(listed.key).data == photograph
        place = f"s3://gfi-api/uploads/{job['dataset'].removeprefix('upload:')}"
        for spec in (job["dataset"], place, f"folder:{place}", "upload:../parts", "s3://gfi-api/parts"):
            assert one_world.submit(dataset=spec).status_code == 422, spec
            for path, body in (
                ("/v1/datasets/preview", {"dataset": spec}),
                ("/v1/datasets", {"name": "mine", "dataset": spec}),
                ("/v1/jobs/test", {"dataset": spec, "model": "tiny"}),
                ("/v1/jobs/estimate", {"dataset": spec, "model": "tiny"}),
                (
                    "/v1/schedules",
                    {"name": "x", "cron": "0 2 * * *", "job": {"dataset": spec, "model": "tiny"}},
                ),
            ):
                assert one_world.call("POST", path, "submit", json=body).status_code == 422, (path, spec)
            photo = {"dataset": spec, "key": listed.key}
            assert one_world.call("GET", "/v1/datasets/photo", params=photo).status_code == 422
        made = one_world.call(
            "POST", "/v1/tokens", json={"name": f"other-{job['id']}", "scopes": ["submit"]}
        ).json()
        other = {"Authorization": f"Bearer {made['token']}"}
        again = client.post(f"/v1/jobs/{job['id']}/methods", json={"method": "tuned"}, headers=other)
        assert again.status_code == 403, again.text
        one_world.call("DELETE", f"/v1/jobs/{job['id']}", "submit")
        assert one_world.call("DELETE", f"/v1/jobs/{job['id']}/data", "submit").status_code == 200
        assert not list(one_world.bucket.list(place.partition("gfi-api/")[2]))


def test_an_upload_has_every_option_of_a_job(one_world: World) -> None:
    documented = one_world.client.app.openapi()["paths"]["/v1/uploads"]["post"]["requestBody"]["content"]  # type: ignore[attr-defined]
    fields = set(documented["multipart/form-data"]["schema"]["properties"])
    assert fields == set(JobOptions.model_fields) - {"dataset", "queue"} | {"images"}
    photograph = (one_world.photographs / one_world.names[0]).read_bytes()

    def send(**fields: str) -> Any:
        files = [("images", ("a.jpg", photograph, "image/jpeg"))]
        return one_world.call("POST", "/v1/uploads", files=files, data={"model": "tiny"} | fields)

    given = {"tags": "ward 7, night", "priority": "3", "batch": "2", "save": "none", "name": "upload"}
    sent = send(**given, metrics="deletion,insertion", overrides='{"steps_class": 24}', top="2")
    assert sent.status_code == 201, sent.text
    job = sent.json()["job"]
    assert (job["tags"], job["priority"], job["name"]) == (["ward 7", "night"], 3, "upload")
    config = job["config"]
    assert (config["batch"], config["save"], config["top"]) == (2, [], 2)
    assert (config["metrics"], config["recipe"]["steps_class"]) == (["deletion", "insertion"], 24)
    for fields, word in (
        ({"overrides": "steps_class=24"}, "overrides: not JSON"),
        ({"priority": "high"}, "priority"),
        ({"webhook": "http://169.254.169.254/"}, "webhook"),
        ({"queue": "explain"}, "unknown field 'queue'"),
    ):
        refused = send(**fields)
        assert refused.status_code == 422
        assert word in refused.json()["detail"], refused.text


def test_a_test_explanation_takes_the_first_image(one_world: World) -> None:
    body = {"dataset": str(one_world.photographs), "model": "tiny"}
    job = one_world.call("POST", "/v1/jobs/test", "submit", json=body).json()["job"]
    assert (job["queue"], job["name"]) == ("interactive", "test")


def test_photographs_are_checked_by_the_version_that_was_asked_for(one_world: World) -> None:
    """They were checked by the newest, which may take another number of channels."""
    several = {"preprocess": {"size": [64, 64], "channels": 5, "mean": [0.5] * 5, "std": [0.5] * 5}}
    for number, more in enumerate(({}, several)):
        record = model_record() | {"reference": "twice", "digest": str(number) * 64} | more
        ledger.save_model(one_world.database, "twice", record["digest"], record, actor="test")
    photograph = (one_world.photographs / one_world.names[0]).read_bytes()
    files = [("images", ("1.jpg", photograph, "image/jpeg"))]
    for model, status in (("twice@1", 201), ("twice@2", 422)):
        sent = one_world.call("POST", "/v1/uploads", "submit", files=files, data={"model": model})
        assert sent.status_code == status, sent.text
        body = {"dataset": str(one_world.photographs), "model": model}
        tested = one_world.call("POST", "/v1/jobs/test", "submit", json=body)
        assert tested.status_code == status, tested.text

"""Datasets of every kind, on SQLite and on PostgreSQL, through the command line and through the API."""

import json
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from PIL import Image, ImageDraw

from gfi import samples
from gfi.client import Client
from gfi.store.settings import Settings
from tests.service.cli.conftest import Gfi

METRICS = {
    "voc": "energy_in_box,pointing",
    "s3": "entropy,pointing",
    "manifest": "energy_in_box,pointing,deletion,insertion",
}
TINY = ("--model", "tiny", "--preset", "paper", "--set", "steps_inversion=1", "--set", "steps_class=2")


def voc(root: Path) -> Path:
    """A miniature of PASCAL VOC: three photographs, the second rotated by EXIF, each with one box of class 207."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number, (width, height) in enumerate([(120, 90), (80, 120), (100, 100)]):
        picture = Image.new("RGB", (width, height), (90, 120, 60))
        ImageDraw.Draw(picture).ellipse((20, 20, 60, 60), fill=(200, 40, 40))
        picture.save(root / "JPEGImages" / f"{number:06}.jpg", quality=95)
        (root / "Annotations" / f"{number:06}.xml").write_text(
            f"<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
            "<object><name>207</name><difficult>0</difficult><bndbox><xmin>21</xmin><ymin>21</ymin>"
            "<xmax>60</xmax><ymax>60</ymax></bndbox></object></annotation>"
        )
    (root / "ImageSets" / "Main" / "test.txt").write_text("000000\n000001\n000002\n")
    return root


def bucket(gfi: Gfi, folder: Path) -> str:
    """The photographs of `folder` as objects in a separate bucket."""
    settings = Settings.load(gfi.environment)
    assert settings.s3_secret_key is not None
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        region_name="us-east-1",
    )
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="pictures")
    for photo in sorted(folder.glob("*.jpg"))[:4]:
        client.put_object(Bucket="pictures", Key=f"pictures/{photo.name}", Body=photo.read_bytes())
    return "s3://pictures/pictures"


@pytest.mark.parametrize("kind", ["voc", "s3", "manifest"])
def test_a_dataset_of_each_kind_is_explained_to_its_end(deployment: Gfi, kind: str, tmp_path: Path) -> None:
    spec, images = {
        "voc": lambda: (f"voc:{voc(tmp_path / 'VOC2007')}?split=test", 3),
        "s3": lambda: (bucket(deployment, samples.path()), 4),
        "manifest": lambda: (str(samples.manifest()), len(list(samples.path().glob("*.jpg")))),
    }[kind]()
    job = deployment.json("submit", "--dataset", spec, *TINY, "--metrics", METRICS[kind], "--wait")
    assert (job["state"], job["total"]) == ("succeeded", images)
    rows = deployment.results(job["id"])
    assert len(rows) == images
    explained = [row for row in rows if row["status"] == "ok"]
    measured = {}
    for row in explained:
        for name in ("deletion", "insertion") if kind == "manifest" else ():
            assert 0 <= row[name] <= 1
        # A box counts for its own label, and no label of the manifest is a class of `tiny`.
        measured[row["row"]] = {"voc": True, "s3": False, "manifest": row["label"] is None}[kind]
        assert (row["energy_in_box"] is not None) == measured[row["row"]]
    summary = deployment.run("job", job["id"]).stdout
    assert ("Energy in box" in summary) == any(measured.values())


def test_the_api_runs_the_same_datasets(deployment: Gfi, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One kind for all: how a job was submitted makes no difference to how its dataset is read."""
    spec = f"voc:{voc(tmp_path_factory.mktemp('api') / 'VOC2007')}?split=test"
    stack = deployment.home / "stack.json"
    url = json.loads(stack.read_text())["api_url"] if stack.exists() else deployment.environment["GFI_URL"]
    token = deployment.json("tokens", "create", "width", "--scope", "submit")["token"]
    client = Client(url, token=token)
    job = client.submit(
        dataset=spec,
        model="tiny",
        preset="paper",
        overrides={"steps_inversion": 1, "steps_class": 3},
        metrics=["pointing"],
    ).wait(timeout_s=280)
    assert job.state == "succeeded"
    rows = list(job.results())
    assert len(rows) == 3
    assert {row["status"] for row in rows} <= {"ok", "empty", "full", "constant", "target_lost"}


def test_an_idempotency_key_is_one_job_for_ever(deployment: Gfi) -> None:
    arguments = ("submit", "--dataset", samples.manifest(), *TINY, "--key", "one-job")
    first = deployment.json(*arguments)
    deployment.run("job", first["job"], "--wait")
    again = deployment.json(*arguments)
    assert again == {"job": first["job"], "created": False, "reason": f"already submitted as {first['job']}"}
    other = deployment.run(*arguments, "--priority", "3", "--set", "steps_class=3", check=False)
    assert other.returncode == 1
    assert "another configuration" in other.stderr


def test_a_deleted_job_leaves_neither_rows_nor_objects(deployment: Gfi) -> None:
    job = deployment.json("submit", "--dataset", samples.manifest(), *TINY, "--new", "--wait")["id"]
    assert "deleted" in deployment.run("jobs", "delete", job, "--yes").stdout
    assert deployment.run("job", job, check=False).returncode == 1
    swept = deployment.json("gc", "--older-than", "0")
    assert swept["counts"].get("unknown", 0) == 0


def test_a_schedule_says_when_it_is_next_due_and_refuses_nonsense(deployment: Gfi) -> None:
    arguments = (
        "schedule",
        "add",
        "nightly",
        "--dataset",
        samples.manifest(),
        *TINY,
        "--zone",
        "Europe/Berlin",
        "--name",
        "tonight's",
    )
    wrong = deployment.run(*arguments, "--cron", "61 2 * * *", check=False)
    assert "not a cron line" in wrong.stderr
    assert "next at" in deployment.run(*arguments, "--cron", "30 2 * * *").stdout
    (listed,) = deployment.json("schedule", "list")
    assert (listed["name"], listed["zone"]) == ("nightly", "Europe/Berlin")
    assert listed["request"]["name"] == "tonight's"
    deployment.run("schedule", "rm", "nightly")
    assert deployment.json("schedule", "list") == []

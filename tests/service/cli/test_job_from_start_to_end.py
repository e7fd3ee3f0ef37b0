"""A job from submission to report, by real processes: Redis, S3, SQLite, scheduler, control worker, worker."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from gfi import GuidedFeatureInversion, samples
from gfi.datasets.decode import decode
from gfi.domain.presets import recipe
from gfi.method.classifiers import load
from gfi.samples import planted
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.queries import get_job, get_result, list_incidents
from gfi.store.settings import Settings
from tests.service.cli.conftest import SHORT, Gfi, gfi_in
from tests.speed import slowness

LONG = ("--preset", "paper", "--set", "steps_inversion=2", "--set", "steps_class=15")
"""Some seconds: long enough to be interrupted."""


def eventually(holds: Callable[[], Any], timeout: float = 60) -> Any:
    """Wait until `holds()` is true; its value."""
    deadline = time.monotonic() + timeout * slowness()
    while not (value := holds()):
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.1)
    return value


def opened(gfi: Gfi) -> tuple[Database, Bucket]:
    settings = Settings.load(gfi.environment)
    return Database(settings.require_database()), Bucket.from_settings(settings)


def test_every_photograph_gets_one_result_and_bad_files_their_own_error(
    stack: Gfi, finished: dict[str, Any]
) -> None:
    job = finished
    assert job["state"] == "partial"
    rows = stack.results(job["id"])
    assert [row["row"] for row in rows] == list(range(job["total"]))
    errors = {row["key"]: row["error"] for row in rows if row["status"] == "error"}
    assert set(errors) == {"d-truncated.jpg", "e-text.png"}
    assert all(row["part_id"] for row in rows)
    summary = stack.run("job", job["id"]).stdout
    assert summary.count("Error") == 1
    assert "unreadable" in summary.partition("failed by class")[2]


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_a_mask_is_bit_equal_alone_and_through_the_service_in_any_shard(
    stack: Gfi, tmp_path: Path, preset: str
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for photo in sorted(samples.path().glob("*.jpg"))[:5]:
        (photographs / photo.name).write_bytes(photo.read_bytes())
    job = stack.json(
        "submit", "--dataset", photographs, *SHORT, "--preset", preset, "--batch", "2", "--wait", timeout=300
    )
    database, bucket = opened(stack)
    part_cache = PartCache(database, bucket)
    # Prefixes are committed batch by batch, so these five images lie in several shards.
    results = [row for row in stack.results(job["id"]) if row["status"] in ("ok", "target_lost")]
    assert len({row["shard_id"] for row in (results[0], results[-1])}) == 2
    classifier = load("efficientnet-lite0")
    short = recipe(preset, steps_inversion=2, steps_class=3)
    profile = get_job(database, job["id"]).profile
    torch.set_num_threads(profile["threads"])
    explainer = GuidedFeatureInversion(classifier, short, batch=profile["batch"])
    for row in (results[0], results[-1]):
        decoded = decode((photographs / row["key"]).read_bytes())
        prepared = classifier.prepare(decoded.rgb, short, decoded.scale)
        fill = None if prepared.fill is None else prepared.fill[None]
        alone = explainer.attribute(prepared.image[None], target=row["target"], baselines=fill)[0, 0].numpy()
        explained = part_cache.explanation(get_result(database, job["id"], row["row"]))
        assert explained is not None
        assert np.array_equal(explained.mask, alone)


def test_masks_are_saved_as_pictures_of_the_photographs_size(
    stack: Gfi, photographs: Path, finished: dict[str, Any]
) -> None:
    job = finished
    _, bucket = opened(stack)
    row = next(row for row in stack.results(job["id"]) if row["part_id"] and row["status"] != "error")
    prefix = f"jobs/{job['id']}/images/{row['row']:08d}"
    original = Image.open(photographs / row["key"])
    for name, mode in (("mask", "L"), ("overlay", "RGB")):
        picture = Image.open(io.BytesIO(bucket.get(f"{prefix}-{name}.png")))
        assert (picture.size, picture.mode) == (original.size, mode)
    assert np.load(io.BytesIO(bucket.get(f"{prefix}-mask.npy"))).shape == (96, 96)


def test_a_report_shows_every_image_and_nothing_from_outside(
    stack: Gfi, photographs: Path, finished: dict[str, Any], tmp_path: Path
) -> None:
    page = Path(stack.json("report", finished["id"], "-o", tmp_path / "report")["report"])
    text = page.read_text()
    assert all(photo.name in text for photo in photographs.iterdir())
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert len(list((page.parent / "images").glob("*-photo.jpg"))) == len(list(samples.path().glob("*.jpg")))


def test_a_worker_killed_mid_job_loses_no_image_and_repeats_none(stack: Gfi, photographs: Path) -> None:
    job = stack.json("submit", "--dataset", photographs, "--model", "tiny", *LONG, "--batch", "2")["job"]
    eventually(lambda: stack.json("job", job)["progress"]["in_flight"])
    killed = stack.pids()["worker"]
    os.kill(killed, signal.SIGKILL)
    stack.run("job", job, "--wait", "--allow-partial")
    assert stack.pids()["worker"] != killed
    rows = stack.results(job)
    assert sorted(row["row"] for row in rows) == list(range(len(list(photographs.iterdir()))))
    # The images in flight are explained again: only the two bad files are errors.
    assert sum(row["status"] == "error" for row in rows) == 2


def test_sigterm_commits_what_is_finished_and_another_worker_goes_on(stack: Gfi, photographs: Path) -> None:
    job = stack.json("submit", "--dataset", photographs, "--model", "tiny", *LONG, "--batch", "2")["job"]
    eventually(lambda: stack.json("job", job)["progress"]["in_flight"])
    os.kill(stack.pids()["worker"], signal.SIGTERM)
    stack.run("job", job, "--wait", "--allow-partial")
    database, _ = opened(stack)
    assert list_incidents(database, job) == []


def test_a_cancelled_job_stops_within_seconds_and_keeps_what_it_has(stack: Gfi, photographs: Path) -> None:
    job = stack.json(
        "submit",
        "--dataset",
        photographs,
        "--model",
        "tiny",
        "--preset",
        "paper",
        "--set",
        "steps_class=100000",
    )["job"]
    eventually(lambda: stack.json("job", job)["progress"]["in_flight"])
    stack.run("cancel", job)
    eventually(lambda: stack.json("job", job)["progress"]["shards"]["leased"] == 0, timeout=10)
    assert stack.json("job", job)["state"] == "cancelled"


def test_the_same_submission_while_it_runs_is_one_job(stack: Gfi, photographs: Path) -> None:
    arguments = (
        "submit",
        "--dataset",
        photographs,
        "--model",
        "tiny",
        "--preset",
        "paper",
        "--set",
        "steps_class=3000",
        "--batch",
        "2",
    )
    first, second = stack.json(*arguments), stack.json(*arguments)
    assert (second["job"], second["created"]) == (first["job"], False)
    third = stack.json(*arguments, "--new")
    assert third["job"] != first["job"]
    for job in (first["job"], third["job"]):
        stack.run("cancel", job)


def test_class_folders_are_matched_and_the_unmatched_counted_once(stack: Gfi, tmp_path: Path) -> None:
    photo = next(samples.path().glob("*.jpg")).read_bytes()
    for folder in ("n02124075", "285", "Egyptian cat", "no such class"):
        (tmp_path / "d" / folder).mkdir(parents=True)
        (tmp_path / "d" / folder / "one.jpg").write_bytes(photo)
    job = stack.json(
        "submit", "--dataset", tmp_path / "d", "--preset", "paper", *SHORT, "--wait", timeout=300
    )
    targets = {row["label"]: row["target"] for row in stack.results(job["id"])}
    assert targets["n02124075"] == targets["285"] == targets["Egyptian cat"] == 285
    unmatched = [warning for warning in job["facts"]["warnings"] if "not a class of the model" in warning]
    assert len(unmatched) == 1
    assert unmatched[0].startswith("1 of 4 images")


def test_doctor_finds_nothing_wrong_with_a_running_stack(stack: Gfi) -> None:
    eventually(
        lambda: all(f["ok"] for f in json.loads(stack.run("doctor", "--json", check=False).stdout)), 30
    )


def test_commands_about_jobs_load_no_torch(stack: Gfi) -> None:
    program = (
        "import sys; from gfi.cli.main import gfi; gfi.main(['jobs'], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], env=stack.environment, check=True, capture_output=True)


def test_interrupting_the_demo_stops_all_it_started_and_again_continues(tmp_path: Path) -> None:
    gfi = gfi_in(tmp_path / "home")

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gfi.cli.main", "demo"],
            env=gfi.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # The parent of the tests may ignore Ctrl-C (xdist does), and child processes would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    jobs = []
    for _ in range(2):
        demo = start()
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("job "):
                jobs.append(line.split()[1])
                break
        started = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(150) == 130
        assert len(started) >= 5
        assert not [
            process
            for process in started
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]
    assert jobs[0] == jobs[1]


RUN_BLOCK = re.compile(r"^<!-- run -->\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
FEW = 12
"""Images of the tutorial, of 600; its audit is run elsewhere."""


@pytest.mark.parametrize("page", ["api", "deploy", "exports", "incremental", "tutorial"])
def test_commands_of_the_documentation_run(
    stack: Gfi,
    finished: dict[str, Any],
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # commands run in this process
    names = {"s3://bucket/photographs": str(photographs)}
    names |= dict.fromkeys(("JOB", "BASELINE", "CANDIDATE"), finished["id"])
    text = (Path(__file__).parents[3] / "docs" / f"{page}.md").read_text()
    commands = [line for block in RUN_BLOCK.findall(text) for line in block.splitlines() if line]
    assert len(commands) >= 1
    for command in commands:
        if command.startswith("python "):
            code = shlex.split(command)[2]
            subprocess.run([sys.executable, "-c", code], check=True)
            manifest = tmp_path / "shapes" / "shapes.jsonl"
            manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:FEW]))
            continue
        words = [names.get(word, word) for word in shlex.split(command, comments=True)]
        assert words.pop(0) == "gfi", command
        if words[:2] == ["models", "add"]:
            words[2] = str(planted.MODEL)
        if "--dataset" in words and page == "incremental":
            words += ["--model", "tiny", *SHORT]
        if words[0] == "submit":
            words += SHORT
        done = stack.run(*words, cwd=tmp_path)
        if words[:2] == ["tokens", "create"]:
            (token,) = [one for one in stack.json("tokens", "list") if one["name"] == words[2]]
            names["ID"] = token["id"]
        if words[0] == "submit":
            names["JOB"] = str(stack.json("jobs")[0]["id"])
        assert done.returncode == 0

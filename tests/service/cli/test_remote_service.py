"""With GFI_API_URL and GFI_TOKEN every command about jobs works through the API and prints the same as locally."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gfi import samples
from gfi.cli.main import EXIT_USER
from tests.service.cli.conftest import SHORT, Gfi, gfi_in


@pytest.fixture(scope="module")
def remote(stack: Gfi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gfi]:
    """The command on a machine with only the address of the stack's API and a token."""
    address = json.loads((stack.home / "stack.json").read_text())["api_url"]
    created = stack.json("tokens", "create", "remote", "--scope", "admin")
    home = tmp_path_factory.mktemp("elsewhere")
    yield gfi_in(home, GFI_API_URL=address, GFI_TOKEN=created["token"]).in_this_process()
    stack.run("tokens", "revoke", created["id"])


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one image."""
    folder = tmp_path_factory.mktemp("one")
    photo = next(samples.path().glob("*.jpg"))
    (folder / photo.name).write_bytes(photo.read_bytes())
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "jobs",
        "jobs --state partial",
        "job JOB",
        "results JOB",
        "results JOB --status error --limit 1",
        "results JOB --group-by status",
        "results JOB --group-by label --status ok --json",
        "results JOB --where site=A",
        "results JOB --group-by nothing",
        "views save JOB small metric=area&at_most=0.5&sort=area",
        "results JOB --view small",
        "views save JOB broken colour=red",
        "flags set JOB wrong --rows 0-3 --note odd",
        "flags JOB",
        "flags remove JOB --view small",
        "flags remove JOB --view colour=red",
        "retry JOB --rows 3-x",
        "models",
        "tasks --all",
        f"estimate --dataset {samples.path()} --model tiny --workers 3 --deadline 8h --price-put 1",
        "estimate --dataset /nowhere --model tiny",
        "audits JOB",
        "audit show nothing",
        "schedule list",
        "jobs --state nothing",
        "job nothing",
        "results JOB --status nothing",
    ],
)
def test_both_ways_print_the_same(stack: Gfi, remote: Gfi, finished: dict[str, Any], command: str) -> None:
    words = command.replace("JOB", finished["id"]).split()
    local, far = stack.run(*words, check=False), remote.run(*words, check=False)
    assert (far.returncode, far.stdout) == (local.returncode, local.stdout)
    assert far.stderr.startswith(local.stderr.rstrip())  # the API adds advice of its own


def test_a_result_is_the_same_json_both_ways(stack: Gfi, remote: Gfi, finished: dict[str, Any]) -> None:
    local, far = (
        [json.loads(line) for line in gfi.run("results", finished["id"], "--json").stdout.splitlines()]
        for gfi in (stack, remote)
    )
    assert local == far
    assert local[0]["has_mask"]


def test_a_job_is_submitted_followed_reported_and_deleted(
    remote: Gfi, photograph: Path, tmp_path: Path
) -> None:
    arguments = ("submit", "--dataset", photograph, "--model", "tiny", *SHORT, "--name", "far away")
    job = remote.json(*arguments, "--wait")
    assert (job["state"], job["total"]) == ("succeeded", 1)
    assert "far away: succeeded" in remote.run("job", job["id"]).stdout
    page = Path(remote.json("report", job["id"], "-o", tmp_path / "report")["report"])
    assert next(photograph.iterdir()).name in page.read_text()
    assert remote.run("retry", job["id"], "--status", "error").stdout.startswith(f"{job['id']} is ")
    assert remote.json("job", job["id"], "--wait")["progress"]["done"] == 1
    assert remote.run("jobs", "delete", job["id"], "--yes").stdout == f"deleted {job['id']}\n"
    assert "no job" in remote.run("job", job["id"], check=False).stderr


def test_a_change_says_whether_it_changed_anything(remote: Gfi, photograph: Path) -> None:
    arguments = (
        "submit",
        "--dataset",
        photograph,
        "--model",
        "tiny",
        "--preset",
        "paper",
        "--set",
        "steps_class=100000",
    )
    job = remote.run(*arguments).stdout.strip()
    assert remote.run(*arguments).stdout.startswith(f"{job} (")  # the same one is active
    for command, first, second in (
        ("pause", "paused", "was paused already"),
        ("resume", "resumed", "was not paused"),
        ("cancel", "cancelled", "was cancelled already"),
    ):
        assert remote.run(command, job).stdout.strip() == first
        assert remote.run(command, job).stdout.strip() == second


def test_schedules_are_added_and_removed(remote: Gfi, stack: Gfi, photograph: Path) -> None:
    added = remote.run(
        "schedule",
        "add",
        "audited",
        "--cron",
        "0 2 * * *",
        "--dataset",
        photograph,
        "--model",
        "tiny",
        "--audit",
    )
    assert added.stdout.startswith("audited: next at ")
    assert "audited" in [entry["name"] for entry in stack.json("schedule", "list")]
    assert "; followed by: audit\n" in remote.run("schedule", "show", "audited").stdout
    remote.run("schedule", "rm", "audited")
    left = [[entry["name"] for entry in service.json("schedule", "list")] for service in (remote, stack)]
    assert left[0] == left[1]
    assert "audited" not in left[0]


def test_tokens_are_created_and_revoked(remote: Gfi) -> None:
    created = remote.json("tokens", "create", "reader", "--expires", "12h", "--max-images", "7")
    (listed,) = [token for token in remote.json("tokens", "list") if token["id"] == created["id"]]
    assert (listed["scopes"], listed["limits"]["max_images"]) == (["read"], 7)
    assert listed["expires_at"] - listed["created_at"] == pytest.approx(12 * 3600, abs=60)
    assert remote.run("tokens", "revoke", created["id"]).stdout == "revoked\n"
    assert remote.run("tokens", "revoke", created["id"]).stdout == "was revoked already\n"


def test_a_model_is_registered_by_its_name_and_a_file_refused(remote: Gfi, tmp_path: Path) -> None:
    said = remote.run("models", "add", "tiny", "--note", "the same").stdout
    assert said.startswith("tiny: 1000 classes")
    assert said.endswith("unchanged, still version 1\n")
    assert "model            tiny@1" in remote.run("models", "show", "tiny").stdout
    assert remote.json("models", "show", "tiny@1")["versions"] == [1]
    missing = remote.run("models", "rm", "tiny@7", check=False)
    assert missing.returncode == EXIT_USER
    assert "no model tiny@7" in missing.stderr
    refused = remote.run("models", "add", tmp_path / "tiny.toml", check=False)
    assert refused.returncode == EXIT_USER
    assert "GFI_MODELS_DIR" in refused.stderr


def test_doctor_looks_at_the_api_its_workers_and_its_jobs(remote: Gfi) -> None:
    findings = {finding["what"]: finding for finding in remote.json("doctor")}
    assert set(findings) == {"python", "api", "workers", "jobs"}
    assert "token remote may admin" in findings["api"]["says"]
    assert "control: 1 (" in findings["workers"]["says"]


def test_a_wrong_token_and_a_wrong_address_are_one_line(remote: Gfi) -> None:
    for settings in ({"GFI_TOKEN": "gfi_wrong"}, {"GFI_API_URL": "http://127.0.0.1:9"}):
        refused = remote.with_settings(**settings).run("cancel", "x", check=False)
        assert refused.returncode == EXIT_USER
        assert refused.stderr.count("\n") == 1
        assert "Traceback" not in refused.stderr

"""Invalid input gives one clear line and a non-zero exit status, with and without a stack."""

from pathlib import Path
from typing import Any

import pytest

from gfi import samples
from tests.service.cli.conftest import Gfi, gfi_in


def refused(gfi: Gfi, *arguments: str | Path) -> str:
    """The one line that a failing command prints."""
    done = gfi.run(*arguments, check=False)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    "command",
    [
        ("jobs",),
        ("job", "x"),
        ("cancel", "x"),
        ("results", "x"),
        ("report", "x"),
        ("models",),
        ("submit", "--dataset", "."),
        ("scheduler",),
        ("worker",),
        ("db", "upgrade"),
    ],
    ids=lambda command: command[0],
)
def test_a_command_that_needs_a_stack_and_finds_none_says_how_to_start_one(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    said = refused(gfi_in(tmp_path / "home"), *command)
    assert "nothing is running" in said
    assert "gfi up -d" in said


def test_explaining_without_a_stack_names_what_is_wrong(tmp_path: Path) -> None:
    gfi = gfi_in(tmp_path / "home").in_this_process()
    photo = next(samples.path().glob("*.jpg"))
    assert "unknown model `nosuch`" in refused(gfi, "explain", photo, "--model", "nosuch")
    assert "features.99" in refused(
        gfi,
        "explain",
        photo,
        "--model",
        "torchvision:alexnet@seed:0",
        "--layers",
        "features.99",
        "--output",
        tmp_path / "out",
    )
    assert "no such photograph" in refused(gfi, "explain", tmp_path / "none.jpg")
    assert "no preset is called `papr`" in refused(gfi, "explain", photo, "--preset", "papr")
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(gfi, "explain", photo, "--output", tmp_path / "file" / "out")


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "set GFI_HOME elsewhere" in refused(gfi_in(tmp_path / "file" / "home"), "up")


def test_services_that_do_not_answer_are_named_without_their_passwords(tmp_path: Path) -> None:
    gfi = gfi_in(
        tmp_path / "home",
        GFI_DATABASE_URL="postgresql+psycopg://gfi:pa55word@127.0.0.1:9/gfi",
        GFI_REDIS_URL="redis://:pa55word@127.0.0.1:9/0",
        GFI_S3_ENDPOINT="http://127.0.0.1:9",
        GFI_S3_BUCKET="gfi",
        GFI_S3_ACCESS_KEY="key",
        GFI_S3_SECRET_KEY="pa55word",
    )
    line = refused(gfi, "jobs")
    assert "127.0.0.1:9" in line
    assert "pa55word" not in line
    done = gfi.run("doctor", check=False, timeout=180)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "pa55word" not in done.stderr + done.stdout
    for what in ("database", "redis", "s3"):
        assert f"BAD {what}" in done.stdout
    assert done.stdout.count("`gfi up -d` on one machine") == 2  # what to type about Redis and S3


def test_with_a_stack_wrong_names_are_answered_with_near_ones(stack: Gfi, tmp_path: Path) -> None:
    folder = samples.path()
    assert "no job nosuch" in refused(stack, "job", "nosuch")
    assert "efficientnet-lite0" in refused(
        stack, "submit", "--dataset", folder, "--model", "efficientnet-lite"
    )
    assert "no preset is called `papr`" in refused(stack, "submit", "--dataset", folder, "--preset", "papr")
    assert "_blocks.99" in refused(stack, "submit", "--dataset", folder, "--layers", "_blocks.99")
    assert "not a class" in refused(stack, "submit", "--dataset", folder, "--target", "unicorn")
    assert str(tmp_path / "none") in refused(stack, "submit", "--dataset", tmp_path / "none")
    assert "metric" in refused(stack, "submit", "--dataset", folder, "--metrics", "beauty")
    assert "beauty" in refused(stack, "submit", "--dataset", folder, "--set", "beauty=1")


def test_an_empty_dataset_fails_its_job_with_the_reason(stack: Gfi, tmp_path: Path) -> None:
    line = refused_job(stack, tmp_path)
    assert "no images in" in line


def refused_job(stack: Gfi, folder: Path) -> str:
    done = stack.run("submit", "--dataset", folder, "--wait", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_report_that_cannot_be_written_is_refused(
    stack: Gfi, finished: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(stack, "report", finished["id"], "-o", tmp_path / "file" / "report")

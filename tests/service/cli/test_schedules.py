"""`gfi schedule`: what it refuses on the spot, and what it says of a schedule."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gfi import samples
from tests.service.cli.conftest import SHORT, Gfi, gfi_in

Add = Callable[..., Any]
MODEL = ("--model", "tiny", *SHORT)


@pytest.fixture
def add(stack: Gfi) -> Iterator[Add]:
    """Adds the schedule `seldom` from a shell that knows nothing but where the stack is; removes it at the end."""
    shell = gfi_in(stack.home).in_this_process()

    def add(*options: str | Path, check: bool = True) -> Any:
        words = ("schedule", "add", "seldom", "--every", "86400s", "--dataset", samples.path(), *MODEL)
        return shell.run(*words, *options, check=check)

    yield add
    shell.run("schedule", "rm", "seldom", check=False)


def names(gfi: Gfi) -> list[str]:
    return [entry["name"] for entry in gfi.json("schedule", "list")]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (("--email", "ann@elsewhere.net"), "e-mails to elsewhere.net are not allowed"),
        (("--webhook", "https://elsewhere.net/x"), "webhooks are not set up: an operator must set"),
    ],
)
def test_an_address_that_no_operator_allowed_is_refused(
    stack: Gfi, add: Add, address: tuple[str, str], says: str
) -> None:
    refused = add(*address, check=False)
    assert (refused.returncode, says in refused.stderr) == (1, True)
    submitted = stack.run("submit", "--dataset", samples.path(), *MODEL, *address, check=False)
    assert (submitted.returncode, says in submitted.stderr) == (1, True)
    assert "seldom" not in names(stack)


@pytest.mark.parametrize(
    ("options", "gate", "says"),
    [
        (("--compare", "NOSUCH"), None, "compare: no job NOSUCH; `gfi jobs` lists them"),
        (("--compare-floor", "NOSUCH"), None, "the noise floor: no job NOSUCH"),
        ((), "[moved", "release.toml is not TOML"),
        ((), "[movd]", "release.toml: the file has no key 'movd'; the nearest is 'moved'"),
        ((), "[floor]\njobs = ['NOSUCH']", "release.toml, [floor] jobs: no job NOSUCH"),
        (
            ("--model", "efficientnet-lite0"),
            "[moved]\nclasses = ['huskie']",
            "release.toml: the model has no class",
        ),
    ],
)
def test_a_comparison_that_no_firing_could_make_is_refused(
    stack: Gfi, add: Add, tmp_path: Path, options: tuple[str, ...], gate: str | None, says: str
) -> None:
    if gate is not None:
        file = tmp_path / "release.toml"
        file.write_text(gate)
        options = (*options, "--gate", str(file))
    refused = add(*options, check=False)
    assert (refused.returncode, refused.stderr.count("\n"), says in refused.stderr) == (1, 1, True)
    assert "seldom" not in names(stack)


def test_a_baseline_is_named_by_the_beginning_of_its_id_and_shown_whole(
    stack: Gfi, add: Add, finished: dict[str, Any], tmp_path: Path
) -> None:
    gate = tmp_path / "release.toml"
    gate.write_text("")
    added = add("--compare", finished["id"][:10], "--gate", gate)
    assert added.stderr.startswith("note: nobody is told, since the jobs of seldom have neither --email nor")
    shown = stack.run("schedule", "show", "seldom").stdout
    assert f"compare with {finished['id']} by {gate}" in shown
    assert "\ntells nobody\n" in shown
    assert shown.startswith("seldom: every 1d in UTC")
    assert " every 1d " in stack.run("schedule", "list").stdout
    edited = stack.run("schedule", "edit", "seldom", "--compare", "previous", "--every", "36h")
    assert "note:" in edited.stderr  # the schedule notifies still
    stack.run("schedule", "pause", "seldom")
    assert stack.run("schedule", "edit", "seldom", "--overlap", "queue").stdout == "seldom: paused\n"
    refused = stack.run("schedule", "edit", "seldom", "--compare", "NOSUCH", check=False)
    assert "compare: no job NOSUCH" in refused.stderr
    assert stack.run("schedule", "show", "seldom").stdout.startswith("seldom: every 36h in UTC")


def test_show_says_whom_a_schedule_tells_and_of_what(stack: Gfi, add: Add) -> None:
    assert add("--email", "ann@example.org", "--notify").stderr == ""
    assert (
        "\ntells ann@example.org of each job and of what followed it\n"
        in stack.run("schedule", "show", "seldom").stdout
    )
    stack.run("schedule", "edit", "seldom", "--no-notify")
    assert (
        "\ntells ann@example.org of each job, not of what followed it\n"
        in stack.run("schedule", "show", "seldom").stdout
    )


def test_a_firing_by_hand_is_shown_with_its_time_also_where_it_made_no_job(
    stack: Gfi, add: Add, tmp_path: Path
) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    photo = next(samples.path().glob("*.jpg"))
    (folder / photo.name).write_bytes(photo.read_bytes())
    add("--dataset", folder)
    shutil.rmtree(folder)
    assert str(folder) in stack.run("schedule", "run", "seldom").stdout  # the reason why there is no job
    (firing,) = stack.json("schedule", "show", "seldom")["firings"]
    assert firing["due"].startswith("now-")
    day = datetime.fromtimestamp(firing["at"], UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00 by hand")
    assert day in stack.run("schedule", "show", "seldom").stdout

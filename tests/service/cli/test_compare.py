"""`gfi compare` and `gfi gate init`, as used in a release script."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gfi.cli.main import EXIT_USER
from tests.service.cli.conftest import SHORT, Gfi

GATE = """
[moved]
max_moved = 0.9
min_images = 1
[floor]
level = "same_profile"
min_runs = 2
[limits]
flips = 0.5
kept = 0.5
"""


@pytest.fixture(scope="module")
def again(stack: Gfi, photographs: Path, finished: dict[str, Any]) -> list[str]:
    """Two more jobs with the same options as `finished`."""
    asked = (
        "submit",
        "--dataset",
        photographs,
        "--model",
        "tiny",
        *SHORT,
        "--new",
        "--wait",
        "--allow-partial",
    )
    return [stack.json(*asked)["id"] for _ in range(2)]


def test_the_same_weights_twice_are_equal_bit_by_bit(
    stack: Gfi, finished: dict[str, Any], again: list[str]
) -> None:
    text = stack.run("compare", finished["id"], again[0]).stdout
    assert "all of them equal bit by bit; mean distance 0.000, largest 0.000" in text
    assert "no noise floor was given" in text
    answer = stack.json("compare", finished["id"], again[0])
    assert (answer["level"], answer["gate"], answer["comparison"]["largest_distance"]) == (
        "same_profile",
        None,
        0.0,
    )


def test_a_gate_has_three_exit_statuses_and_writes_junit(
    stack: Gfi, finished: dict[str, Any], again: list[str], tmp_path: Path
) -> None:
    gate, junit = tmp_path / "gate.toml", tmp_path / "junit.xml"
    gate.write_text(GATE)
    asked = ("compare", finished["id"], again[0], "--gate", gate, "--junit", junit)
    undecided = stack.run(*asked, check=False)
    assert (undecided.returncode, "no noise floor" in undecided.stdout) == (11, True)
    passed = stack.run(*asked, "--floor", finished["id"], again[1])
    assert passed.stdout.endswith("gate: pass\n")
    assert "kept: mean" in passed.stdout
    assert ElementTree.parse(junit).getroot().get("failures") == "0"
    gate.write_text(GATE + "energy_in_boxes = 0.1")
    wrong = stack.run(*asked, check=False)
    assert (wrong.returncode, "the nearest is 'energy_in_box'" in wrong.stderr) == (EXIT_USER, True)


def test_a_gate_file_is_made_from_two_jobs_and_not_overwritten(
    stack: Gfi, finished: dict[str, Any], again: list[str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate.toml"
    stack.run("gate", "init", finished["id"], again[0], "-o", gate)
    assert "max_moved" in gate.read_text()
    refused = stack.run("gate", "init", finished["id"], again[0], "-o", gate, check=False)
    assert (refused.returncode, "--force" in refused.stderr) == (EXIT_USER, True)
    judged = stack.run("compare", finished["id"], again[0], "--gate", gate, check=False)
    assert judged.returncode == 11


def test_what_does_not_go_together_is_said(stack: Gfi, finished: dict[str, Any], again: list[str]) -> None:
    for words, reason in ((("--unpaired",), "no class has 10 masks in both sets"),):
        done = stack.run("compare", finished["id"], again[0], *words, check=False)
        assert done.returncode != 0
        assert reason in done.stderr
    far = stack.with_settings(GFI_API_URL="http://127.0.0.1:9", GFI_TOKEN="x").run(
        "compare", "a", "b", check=False
    )
    assert (far.returncode, "http://127.0.0.1:9 does not answer" in far.stderr) == (EXIT_USER, True)

"""An embedded stack of real processes, started by `gfi up -d` once for the whole folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import samples

# The optimiser's own length is not what these tests are about.
SHORT = ("--set", "steps_inversion=2", "--set", "steps_class=3")
TINY = """
architecture = "torchvision:alexnet"
weights = "seed:0"
[input]
size = 96
"""


@dataclass(frozen=True)
class Gfi:
    """The `gfi` command over one home directory."""

    home: Path
    environment: dict[str, str]

    def run(
        self, *arguments: str | Path, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `gfi ARGUMENTS`; fails the test on a non-zero exit unless `check` is False."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *map(str, arguments)],
            env=self.environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str | Path, timeout: float = 120) -> Any:
        """The JSON that `gfi ARGUMENTS --json` prints."""
        return json.loads(self.run(*arguments, "--json", timeout=timeout).stdout)

    def results(self, job: str) -> list[dict[str, Any]]:
        """Every result of a job."""
        return [json.loads(line) for line in self.run("results", job, "--json").stdout.splitlines()]

    def pids(self) -> dict[str, int]:
        """The supervised processes by their name: scheduler, control, worker …"""
        return {each["name"]: each["pid"] for each in json.loads((self.home / "children.json").read_text())}


def gfi_in(home: Path, **settings: str) -> Gfi:
    """`gfi` with its state in `home`; settings are GFI_ variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GFI_")}
    return Gfi(home, {**clean, "GFI_HOME": str(home), "PYTHONUNBUFFERED": "1", **settings})


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gfi]:
    """A running stack with the sample classifier and a tiny network, `tiny`. Prefixes are committed batch by batch."""
    home = tmp_path_factory.mktemp("gfi") / "home"
    gfi = gfi_in(home, GFI_LEASE_S="3", GFI_POLL_S="0.3", GFI_SHARD_SECONDS="0.1")
    gfi.run("up", "-d")
    model = home.parent / "tiny.toml"
    model.write_text(TINY)
    gfi.run("models", "add", model)
    yield gfi
    gfi.run("down")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped photographs and, between them, two files that are none."""
    folder = tmp_path_factory.mktemp("photographs")
    for photo in sorted(samples.path().glob("*.jpg")):
        (folder / photo.name).write_bytes(photo.read_bytes())
    (folder / "d-truncated.jpg").write_bytes(next(samples.path().glob("*.jpg")).read_bytes()[:900])
    (folder / "e-text.png").write_text("not a picture")
    return folder

"""Two deployments of real processes, started once for these tests: the embedded stack on SQLite, and the services of
docker-compose.yml on PostgreSQL, each by the command in that file.
"""

import contextlib
import io
import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from gfi import samples
from gfi.cli.children import popen
from gfi.cli.main import main as gfi_command
from gfi.cli.servers import Server, free_port
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY, CleanupOnDeath, Postgres
from tests.speed import slowness

ROOT = Path(__file__).parents[3]

# The duration of the optimisation does not matter in these tests.
SHORT = ("--preset", "paper", "--set", "steps_inversion=2", "--set", "steps_class=3")
TINY = """
architecture = "torchvision:alexnet"
weights = "seed:0"
[input]
size = 96
"""


GFI = Path(sysconfig.get_path("scripts")) / "gfi"

IN_PROCESS = {
    "cancel",
    "compare",
    "doctor",
    "estimate",
    "explain",
    "gate",
    "gc",
    "job",
    "jobs",
    "models",
    "pause",
    "report",
    "results",
    "resume",
    "retry",
    "schedule",
    "submit",
    "tokens",
}
"""Commands that a test may run in its own process. In a process of their own they would mostly import: 0.5 s of a core,
4 s with torch. Commands that start processes are not among them."""


@dataclass(frozen=True)
class Gfi:
    """The `gfi` command over one home directory.

    in_process: commands of IN_PROCESS run in the test's process.
    """

    home: Path
    environment: dict[str, str]
    in_process: bool = False

    def in_this_process(self) -> "Gfi":
        """The same, with `in_process`."""
        return replace(self, in_process=True)

    def with_settings(self, **settings: str) -> "Gfi":
        """The same with other GFI_ variables."""
        return replace(self, environment={**self.environment, **settings})

    def run(
        self, *arguments: str | Path, check: bool = True, timeout: float = 280, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `gfi ARGUMENTS`; fails the test on a non-zero exit unless `check` is False."""
        words = [str(argument) for argument in arguments]
        if self.in_process and words[0] in IN_PROCESS:
            done = self._run_in_process(words)
        else:
            done = subprocess.run(
                [GFI, *words],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=timeout * slowness(),
                check=False,
                cwd=cwd,
            )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def _run_in_process(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, self.environment, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                gfi_command(words)
            except SystemExit as end:
                code = int(end.code or 0)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def json(self, *arguments: str | Path, timeout: float = 280) -> Any:
        """The JSON that `gfi ARGUMENTS --json` prints."""
        return json.loads(self.run(*arguments, "--json", timeout=timeout).stdout)

    def results(self, job: str) -> list[dict[str, Any]]:
        """Every result of a job."""
        return [json.loads(line) for line in self.run("results", job, "--json").stdout.splitlines()]

    def pids(self) -> dict[str, int]:
        """The supervised processes by their name: scheduler, control, worker …"""
        return {
            child["name"]: child["pid"] for child in json.loads((self.home / "children.json").read_text())
        }


def gfi_in(home: Path, **settings: str) -> Gfi:
    """`gfi` with its state in `home`; settings are GFI_ variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GFI_")}
    return Gfi(home, {**clean, "GFI_HOME": str(home), "PYTHONUNBUFFERED": "1", **settings})


IN_THE_WAY = "was imported from the working directory"


def project_in_the_way(folder: Path) -> Path:
    """A user's project whose folders have the names of our packages and of their dependencies. Importing one fails."""
    for name in (
        "gfi",
        "scheduler",
        "workers",
        "migrations",
        "datasets",
        "store",
        "cli",
        "report",
        "celery",
        "kombu",
        "sqlalchemy",
        "torch",
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError('{name} {IN_THE_WAY}')\n")
    return folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gfi]:
    """A running stack with the sample classifier and a tiny network, `tiny`. Prefixes are committed batch by batch."""
    home = tmp_path_factory.mktemp("gfi") / "home"
    gfi = gfi_in(
        home,
        **{"GFI_LEASE_S": "3", "GFI_POLL_S": "0.3", "GFI_SHARD_SECONDS": "0.1", "GFI_THREADS": "1"},
        # Nobody listens there, and no test sends an e-mail through this stack.
        **{
            "GFI_SMTP_HOST": "127.0.0.1",
            "GFI_SMTP_FROM": "gfi@example.org",
            "GFI_SMTP_DOMAINS": "example.org",
        },
    )
    gfi.run("up", "-d", cwd=project_in_the_way(home.parent / "project"))
    cleanup = CleanupOnDeath([str(GFI), "down"], gfi.environment)
    model = home.parent / "tiny.toml"
    model.write_text(TINY)
    gfi.run("models", "add", model)
    yield gfi.in_this_process()
    gfi.run("down")
    cleanup.revoke()


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled photographs and, between them, two files that are not photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for photo in sorted(samples.path().glob("*.jpg")):
        (folder / photo.name).write_bytes(photo.read_bytes())
    (folder / "d-truncated.jpg").write_bytes(next(samples.path().glob("*.jpg")).read_bytes()[:900])
    (folder / "e-text.png").write_text("not a picture")
    return folder


@pytest.fixture(scope="session")
def finished(stack: Gfi, photographs: Path) -> dict[str, Any]:
    """An ended job over `photographs` with its masks saved as pictures, as `gfi submit --wait --json` prints it."""
    options = ("--model", "tiny", *SHORT, "--save", "png,overlay,npy", "--wait", "--allow-partial")
    return stack.json("submit", "--dataset", photographs, *options)


def compose_services() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml, anchors resolved."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, valkey: Server, s3: Server
) -> Iterator[Gfi]:
    """The services of docker-compose.yml without containers: the same commands and variables, real servers."""
    folder = tmp_path_factory.mktemp("cluster")
    local = {
        "GFI_DATABASE_URL": postgres.create(migrated=False),
        "GFI_REDIS_URL": valkey.url,
        "GFI_S3_ENDPOINT": s3.url,
        "GFI_S3_ACCESS_KEY_FILE": str(folder / "s3_access_key"),
        "GFI_S3_SECRET_KEY_FILE": str(folder / "s3_secret_key"),
        "GFI_ALIVE_FILE": str(folder / "alive"),
        "GFI_MODELS_DIR": str(folder / "models"),
        "GFI_DATASET_BUCKETS": "pictures",
        "GFI_DATASET_ROOTS": f"{folder.parent}:{samples.path().parent}",
    }
    services = compose_services()
    ours = {
        name: service
        for name, service in services.items()
        if "build" in service and "profiles" not in service
    }
    for name, secret in (("s3_access_key", S3_ACCESS_KEY), ("s3_secret_key", S3_SECRET_KEY)):
        (folder / name).write_text(f"{secret}\n")
    # The password of the database and of Redis are in the URLs of the servers of these tests.
    composed = {
        name: value for name, value in ours["worker"]["environment"].items() if "_PASSWORD" not in name
    }
    settings = {**composed, **local}
    gfi = gfi_in(folder / "home", **settings, GFI_LEASE_S="5", GFI_POLL_S="0.3", GFI_THREADS="1")
    gfi.run(*ours.pop("migrate")["command"])
    model = folder / "tiny.toml"
    model.write_text(TINY)
    gfi.run("models", "add", model)
    port = str(free_port())
    processes = []
    for name, service in ours.items():
        # In a container the API listens on every address at a fixed port; here on the loopback address at a free port.
        command = [{"0.0.0.0": "127.0.0.1", "8080": port}.get(word, word) for word in service["command"]]
        with (folder / f"{name}.log").open("wb") as log:
            processes.append(popen([str(GFI), *command], env=gfi.environment, stdout=log, stderr=log))
    yield gfi_in(folder / "home", **settings, GFI_URL=f"http://127.0.0.1:{port}").in_this_process()
    for process in processes:
        process.terminate()
    for process in processes:
        assert process.wait(30) is not None


@pytest.fixture(params=["embedded", "compose"])
def deployment(request: pytest.FixtureRequest) -> Gfi:
    """Each test runs on both."""
    return request.getfixturevalue("stack" if request.param == "embedded" else "cluster")

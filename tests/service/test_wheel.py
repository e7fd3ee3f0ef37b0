"""The wheel: what it contains, and how it works in fresh environments without torch.

Three environments are installed, once for this file: `pip install gfi`, `pip install "gfi[service]"`, and
`pip install "gfi[all]" datasets`. The last one sees the packages of the environment that runs the tests, so that
torch's 5 GB are not installed again; gfi itself and whatever those packages do not satisfy are installed into it.
"""

import os
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gfi.cli.servers import Server, free_port
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY, Sqlite

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)  # two environments are downloaded and unpacked, on slow machines too
PACKAGES = ("gfi", "scheduler", "workers", "migrations")


@dataclass(frozen=True)
class Installed:
    """An environment into which the wheel was installed."""

    folder: Path

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, in a directory without a checkout."""
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            env=self.environment(**settings),
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        """The same, in the background."""
        log = (self.folder.parent / f"{command[-1]}.log").open("wb")
        return subprocess.Popen(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            env=self.environment(**settings),
            cwd=self.folder.parent,
            stdout=log,
            stderr=log,
        )

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of this process without variables that configure gfi or Python."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GFI_", "PYTHON"))}
        return {**clean, "GFI_HOME": str(self.folder.parent / "home"), **settings}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        out,
        ROOT,
    ]
    subprocess.run(build, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def install(folder: Path, *requirements: str) -> Installed:
    """A fresh environment with these requirements."""
    if not folder.exists():
        venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
    done = subprocess.run([*pip, *requirements], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return Installed(folder)


@pytest.fixture(scope="session")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`pip install gfi`."""
    return install(tmp_path_factory.mktemp("base") / "env", str(wheel))


@pytest.fixture(scope="session")
def service(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`pip install "gfi[service]"`: no torch."""
    return install(tmp_path_factory.mktemp("service") / "env", f"{wheel}[service]")


@pytest.fixture
def everything(wheel: Path, tmp_path: Path) -> Installed:
    """`pip install "gfi[all]" datasets`: all of gfi, and Hugging Face's library."""
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False)
    here, there = (sysconfig.get_path("purelib", vars={"base": str(p)}) for p in (sys.prefix, folder))
    (Path(there) / "packages_of_the_tests.pth").write_text(here)
    return install(folder, f"{wheel}[all]", "datasets")


def test_the_wheel_contains_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    assert any(name.startswith("gfi/samples/photographs/") and name.endswith(".jpg") for name in names)
    assert "gfi/samples/LICENSES.md" in names
    assert any(name.startswith("gfi/report/templates/") for name in names)
    assert any(name.startswith("migrations/versions/0001") for name in names)
    assert "gfi/domain/imagenet_classes.tsv" in names


def test_hugging_faces_datasets_and_ours_are_imported_side_by_side(everything: Installed) -> None:
    program = (
        "import datasets, gfi.datasets.sources, gfi.store.tables, gfi.method.engine, torch;"
        "datasets.Dataset.from_dict({'a': [1]}); print(datasets.__file__, gfi.__file__, sep='\\n')"
    )
    done = everything.run("python", "-c", program)
    assert done.returncode == 0, done.stderr
    assert all(place.startswith(str(everything.folder)) for place in done.stdout.splitlines())


def test_the_service_installs_no_torch(service: Installed) -> None:
    assert service.run("python", "-c", "import torch").returncode != 0


@pytest.fixture
def deployment(s3: Server, valkey: Server, sqlite_files: Sqlite) -> Iterator[dict[str, str]]:
    """The settings of a deployment on a fresh database."""
    url = sqlite_files.create()
    yield {
        "GFI_DATABASE_URL": url,
        "GFI_REDIS_URL": valkey.url,
        "GFI_S3_ENDPOINT": s3.url,
        "GFI_S3_BUCKET": "without-torch",
        "GFI_S3_ACCESS_KEY": S3_ACCESS_KEY,
        "GFI_S3_SECRET_KEY": S3_SECRET_KEY,
    }
    sqlite_files.drop(url)


def test_api_scheduler_and_control_worker_run_without_torch_and_the_client_without_a_database(
    service: Installed, base: Installed, deployment: dict[str, str]
) -> None:
    upgraded = service.run("gfi", "db", "upgrade", "--bucket", **deployment)
    newest = max(file.name[:4] for file in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    assert f"is at revision {newest}" in upgraded.stdout, upgraded.stderr
    port = str(free_port())
    processes = [
        service.start("gfi", "scheduler", **deployment),
        service.start("gfi", "worker", "--queues", "control", **deployment),
        service.start("gfi", "api", "--port", port, **deployment),
    ]
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, processes)
        token = service.run(
            "gfi", "tokens", "create", "remote", "--scope", "submit", **deployment
        ).stdout.strip()
        remote = {"GFI_API_URL": address, "GFI_TOKEN": token}
        listed = base.run("gfi", "jobs", **remote)
        assert (listed.returncode, "no jobs yet" in listed.stdout) == (0, True), listed.stderr
        refused = base.run("gfi", "submit", "--dataset", "/nowhere", **remote)
        assert refused.returncode == 1
        assert "efficientnet-lite0" in refused.stderr
        wait_for_workers(address, token)
        assert all(process.poll() is None for process in processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def wait_until_ready(address: str, processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the API answers; an AssertionError if one of the processes has ended."""
    while True:
        assert all(process.poll() is None for process in processes)
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)


def wait_for_workers(address: str, token: str) -> None:
    """Until the control worker has sent a heartbeat."""
    while True:
        workers = httpx.get(f"{address}/v1/workers", headers={"Authorization": f"Bearer {token}"}).json()
        if any("control" in (worker["queues"] or []) for worker in workers):
            return
        time.sleep(0.2)


def test_without_the_service_a_job_command_says_what_to_install(base: Installed) -> None:
    done = base.run("gfi", "jobs")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert 'pip install "gfi[service]"' in done.stderr
    assert "GFI_API_URL" in done.stderr


@pytest.mark.parametrize("command", [("explain", "README.md"), ("layers", "efficientnet-lite0")])
def test_without_torch_the_method_says_what_to_install(base: Installed, command: tuple[str, str]) -> None:
    (base.folder.parent / "README.md").touch()
    done = base.run("gfi", *command)
    assert done.returncode == 1
    assert 'pip install "gfi[method]"' in done.stderr


@pytest.mark.parametrize(
    ("use", "extra"),
    [
        ("import gfi; gfi.GuidedFeatureInversion", "method"),
        ("import gfi; gfi.load", "method"),
        ("from gfi.client import Job; Job(None, {'id': 'x'}).mask(0)", "client"),
        ("from gfi.client import Job; Job(None, {'id': 'x'}).results().to_pandas()", "client"),
    ],
)
def test_the_python_api_says_what_to_install_too(base: Installed, use: str, extra: str) -> None:
    assert f'pip install "gfi[{extra}]"' in base.run("python", "-c", use).stderr


def test_every_command_that_can_ask_the_api_is_imported_without_any_extra(base: Installed) -> None:
    modules = (
        "submit",
        "jobs",
        "job",
        "results",
        "report",
        "schedules",
        "tokens",
        "models",
        "doctor",
        "follow",
        "job_summary",
        "examine",
        "remote_service",
    )
    done = base.run("python", "-c", "import " + ", ".join(f"gfi.cli.{module}" for module in modules))
    assert done.returncode == 0, done.stderr
    assert base.run("python", "-c", "import numpy").returncode != 0

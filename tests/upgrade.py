"""`make upgrade`: an upgrade while both versions run. Needs the history of this repository, with commit e5687fc.

Version 0.1.0 explains; the tables are upgraded below it; workers of the one version run beside schedulers of the other.
Afterwards each image of each job has one result and the sums are right. The suite has the short form of this,
`tests/service/test_upgrade.py`.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gfi.cli.servers import free_port, start_s3, start_valkey
from gfi.domain.states import JobState
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.ledger.sums import sums_of
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY

OLD = "e5687fc"
ROOT = Path(__file__).parents[1]
FIXTURE = ROOT / "tests" / "fixtures" / "version_0_1_0"
IMAGES = 18
PATIENCE_S = 240.0
REFUSED = "claimed_by_gfi_0_2_or_later"
ROLES = {"scheduler": ["scheduler"], "control": ["worker", "--queues", "control"], "worker": ["worker"]}


def eventually(what: str, holds: Callable[[], object]) -> None:
    """Wait until a condition holds; exits with `what` after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.2)
    print(f"  {what}", flush=True)


class Versions:
    """Processes of both versions over one database, bucket and Redis."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.database = Database(environment["GFI_DATABASE_URL"])
        self.running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}

    def command(self, version: str) -> tuple[list[str], dict[str, str]]:
        """The command `gfi` of `old` or `new`, and its environment."""
        path, module = (self.folder / "code", "cli.main") if version == "old" else (ROOT, "gfi.cli.main")
        program = f"import sys; from {module} import main; sys.argv[0] = 'gfi'; main()"
        return [sys.executable, "-c", program], {**self.environment, "PYTHONPATH": str(path)}

    def start(self, version: str, *roles: str) -> None:
        """Start processes, each with a log of its own."""
        command, environment = self.command(version)
        for role in roles:
            with self.log(version, role).open("ab") as log:
                self.running[version, role] = subprocess.Popen(
                    [*command, *ROLES[role]], env=environment, stdout=log, stderr=log, cwd=self.folder
                )

    def stop(self, version: str, *roles: str) -> None:
        """SIGTERM, and wait for the end."""
        for role in roles:
            process = self.running.pop((version, role))
            process.terminate()
            process.wait(60)

    def log(self, version: str, role: str) -> Path:
        """The log of a process."""
        return self.folder / f"{version}-{role}.log"

    def gfi(self, version: str, *words: str) -> str:
        """What a command of one version prints."""
        command, environment = self.command(version)
        done = subprocess.run(
            [*command, *words], env=environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"gfi {' '.join(words)} ({version}): {done.stdout}{done.stderr}")
        return done.stdout

    def submit(self, version: str, steps: int) -> str:
        """Submit the photographs; returns the job's id."""
        words = ["--dataset", str(self.folder / "birds"), "--model", "small", "--preset", "paper"]
        words += ["--set", "steps_inversion=2", "--set", f"steps_class={steps}", "--json"]
        submitted = json.loads(self.gfi(version, "submit", *words))
        return str(submitted.get("job") or submitted["id"])

    def done(self, job: str) -> int:
        """How many images of a job have a result; also in tables of version 0.1.0."""
        with self.database.read() as connection:
            counted = connection.exec_driver_sql("SELECT count(*) FROM results WHERE job_id = ?", (job,))
            return int(counted.scalar_one())

    def ended(self, job: str) -> None:
        """Wait for the end of a job, and check that each image has one result and that the sums are theirs."""
        eventually(
            f"{job} succeeded", lambda: queries.get_job(self.database, job).state is JobState.SUCCEEDED
        )
        rows = list(queries.iterate_results(self.database, job, filters=queries.Filters(method=None)))
        if sorted(row.row for row in rows) != list(range(IMAGES)):
            raise SystemExit(f"{job}: {len(rows)} results of {IMAGES} images")
        if queries.job_sums(self.database, job, cells=True) != sums_of(rows):
            raise SystemExit(f"{job}: the sums are not those of its results")


def run(versions: Versions) -> None:
    """Upgrade while version 0.1.0 works, then both mixtures."""
    print("version 0.1.0 alone")
    versions.gfi("old", "db", "upgrade", "--bucket")
    versions.gfi("old", "models", "add", str(FIXTURE / "models" / "small.toml"))
    print("a worker and a scheduler of this version before the upgrade")
    versions.start("new", "worker", "scheduler")
    eventually(
        "both say what to run",
        lambda: all(
            "gfi db upgrade" in versions.log("new", role).read_text() for role in ("scheduler", "worker")
        ),
    )
    versions.stop("new", "worker", "scheduler")
    print("the upgrade, with 0.1.0 at work")
    versions.start("old", "scheduler", "control", "worker")
    begun = versions.submit("old", steps=120)
    eventually("some images are explained", lambda: versions.done(begun) > 0)
    versions.gfi("new", "db", "upgrade")
    before = versions.done(begun)
    eventually("the old worker is refused", lambda: REFUSED in versions.log("old", "worker").read_text())
    if not before <= versions.done(begun) < IMAGES:
        raise SystemExit(f"{versions.done(begun)} images are explained, {before} were before the upgrade")
    print("old scheduler, new workers, old workers still there")
    versions.start("new", "control", "worker")
    versions.ended(begun)
    versions.ended(versions.submit("new", steps=3))
    print("new scheduler and workers, old workers still there")
    versions.stop("old", "scheduler")
    versions.start("new", "scheduler")
    versions.ended(versions.submit("new", steps=4))
    print("this version alone")
    versions.stop("old", "control", "worker")
    versions.gfi("new", "models", "add", str(FIXTURE / "models" / "small.toml"))


def main() -> None:
    """Start the servers, run, stop everything. The logs are kept where something failed."""
    folder = Path(tempfile.mkdtemp(prefix="gfi-upgrade-"))
    archive = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"commit {OLD} is not in this clone; get it with: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder / "code", filter="data")
    shutil.copytree(FIXTURE / "photographs" / "birds", folder / "birds")
    valkey = start_valkey(folder / "valkey", free_port())
    s3 = start_s3(folder / "s3", free_port(), S3_ACCESS_KEY, S3_SECRET_KEY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GFI_")} | {
        "GFI_HOME": str(folder / "home"),
        "GFI_DATABASE_URL": f"sqlite:///{folder / 'gfi.db'}",
        "GFI_REDIS_URL": valkey.url,
        "GFI_S3_ENDPOINT": s3.url,
        "GFI_S3_BUCKET": "upgrade",
        "GFI_S3_ACCESS_KEY": S3_ACCESS_KEY,
        "GFI_S3_SECRET_KEY": S3_SECRET_KEY,
        "GFI_LEASE_S": "5",
        "GFI_SHARD_SECONDS": "0.1",
        "GFI_THREADS": "1",
    }
    versions = Versions(folder, environment)
    try:
        run(versions)
    except BaseException:
        print(f"logs: {folder}", file=sys.stderr)
        raise
    else:
        shutil.rmtree(folder / "code")
    finally:
        for process in versions.running.values():
            process.kill()
        valkey.stop()
        s3.kill()
    shutil.rmtree(folder, ignore_errors=True)
    print("upgraded: every image once, every sum right")


if __name__ == "__main__":
    main()

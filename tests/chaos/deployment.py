"""One installation under test: its own database, bucket and Redis database, and its processes.

    with Deployment(servers, "postgres", rng) as deployment:
        deployment.start("scheduler"); deployment.start("control"); deployment.start("worker", 3)
        job = deployment.submit(photographs)
        deployment.wait(job)
        verify(deployment, job, photographs)

A process that dies is replaced at once, as by a supervisor.
"""

import contextlib
import functools
import itertools
import os
import signal
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from gfi.cli.children import die_with
from gfi.domain.records import Submitted
from gfi.domain.states import ShardState
from gfi.jobs import submit
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from gfi.store.tables import control_tasks, incidents, scheduler_heartbeat, shards
from tests.chaos.fake import MODEL, MODEL_DIGEST, RECORD
from tests.chaos.photographs import Photographs
from tests.chaos.servers import Servers
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY, environment
from tests.speed import slowness

LEASE_S = 3.0
STALL_S = 3.0
WITHIN_S = LEASE_S + 5.0
"""A dead worker's shard is with another one within this."""

_numbers = itertools.count(1)


@dataclass
class Member:
    """A process of the deployment, and how to replace it."""

    role: str
    config: dict[str, Any]
    process: psutil.Process
    number: int
    wanted: bool = True
    death_counted: bool = False
    """Its death was noted."""

    @property
    def name(self) -> str:
        """The name of a worker in the ledger."""
        return f"{socket.gethostname()}:{self.process.pid}"

    def alive(self) -> bool:
        """Whether the process is running."""
        try:
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@dataclass
class Recoveries:
    """Seconds until recovery after each death, by role: until a worker's shard can be claimed, until a planner's task
    is claimed again, until a scheduler ticks again.
    """

    waiting: dict[tuple[str, str, float], float] = field(default_factory=dict)
    """Role; shard, task or nothing; its fence or the last tick → when its holder died."""
    by_role: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Deployment:
    """A context manager; leaving it ends every process and drops the database."""

    def __init__(
        self, servers: Servers, kind: str = "postgres", *, proxied: str = "", **settings: Any
    ) -> None:
        """kind: `postgres` or `sqlite`. proxied: any of `s3`, `postgres`, which then go through the proxies."""
        self.servers = servers
        self.number = next(_numbers)
        self.directory = servers.directory / f"deployment-{self.number}"
        self.directory.mkdir()
        self._databases = servers.postgres if kind == "postgres" else servers.sqlite
        self.database_url = self._databases.create()
        url = self.database_url
        if "postgres" in proxied:
            url = servers.postgres.through(servers.postgres_proxy.port, url)
        redis_number = self.number % 16
        servers.redis.client.execute_command("SELECT", 0)
        self.redis_url = servers.redis.url(redis_number)
        self.settings = Settings(
            **{
                "home": self.directory,
                "database_url": url,
                "redis_url": self.redis_url,
                "s3_endpoint": f"http://127.0.0.1:{servers.s3_proxy.port if 's3' in proxied else servers.s3.port}",
                "s3_bucket": f"deployment-{self.number}",
                "s3_access_key": S3_ACCESS_KEY,
                "s3_secret_key": S3_SECRET_KEY,
                "lease_s": LEASE_S * slowness(),
                "poll_s": 0.5,
                "stall_s": STALL_S * slowness(),
                "shard_seconds": 3.0,
                "window": 64,
            }
            | settings
        )
        # The test itself uses the servers without proxies.
        quiet = self.settings.model_copy(
            update={"database_url": self.database_url, "s3_endpoint": servers.s3.url}
        )
        self.database = Database(self.database_url)
        self.bucket = Bucket.from_settings(quiet)
        self.members: list[Member] = []
        self.recoveries = Recoveries()
        self.kills = 0
        self.own_deaths = 0
        """Deaths that were not our doing: aimed ones, and those that images cause."""
        self._ended = threading.Event()
        self._lock = threading.RLock()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> "Deployment":
        with contextlib.closing(self.redis()) as client:
            client.flushdb()
        self.bucket.ensure()
        ledger.save_model(self.database, MODEL, MODEL_DIGEST, RECORD, actor="chaos")
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._keeper.join()
        for member in self.members:
            with contextlib.suppress(psutil.Error):
                member.process.kill()
        for member in self.members:
            with contextlib.suppress(psutil.Error):
                member.process.wait(5)
        self.database.dispose()
        self.bucket.client.close()
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            self._databases.drop(self.database_url)

    def redis(self) -> Any:
        """A client of this deployment's Redis database."""
        import redis

        return redis.Redis.from_url(self.redis_url)

    # -- processes -----------------------------------------------------------------------------------------

    def start(self, role: str, count: int = 1, **config: Any) -> list[Member]:
        """Start processes of a role; each is replaced whenever it dies."""
        started = []
        for _ in range(count):
            with self._lock:
                number = len(self.members)
                started.append(Member(role, config, self._fork(role, config, number), number))
                self.members.append(started[-1])
        return started

    def start_all(self, workers: int, **config: Any) -> None:
        """A scheduler, a control worker and some workers: what a job needs."""
        self.start("scheduler")
        self.start("control")
        self.start("worker", workers, **config)

    def _fork(self, role: str, config: dict[str, Any], number: int) -> psutil.Process:
        variables = environment(self.settings) | {"GFI_HOME": str(self.directory), "GFI_LOG_FORMAT": "json"}
        log = self.directory / f"{number}-{role}.log"
        return self.servers.forker.fork(role, variables, config, log)

    def _keep(self) -> None:
        while not self._ended.wait(0.1):
            with self._lock:
                for member in self.members:
                    if member.wanted and not member.alive():
                        if not member.death_counted:
                            self.own_deaths += 1
                            self._time_recovery(member, time.monotonic())
                        member.death_counted = False
                        member.process = self._fork(member.role, member.config, member.number)
            self._watch_recoveries()

    def living(self, role: str) -> list[Member]:
        """The processes of a role that are running now."""
        with self._lock:
            return [each for each in self.members if each.role == role and each.alive()]

    def kill(self, member: Member, number: int = signal.SIGKILL) -> None:
        """Send a signal; a SIGKILL is counted, and the recovery of the process's work is timed."""
        with self._lock, contextlib.suppress(psutil.Error):
            member.process.send_signal(number)
            died = time.monotonic()
            if number == signal.SIGKILL:
                self.kills += 1
                member.death_counted = True
                member.process.wait(5)
                self._time_recovery(member, died)

    def dismiss(self, member: Member) -> None:
        """Kill it without replacing it."""
        with self._lock:
            member.wanted = False
        self.kill(member)

    def _time_recovery(self, dead: Member, died: float) -> None:
        """Record the leases of the dead process; `_watch_recoveries` detects when they are free."""
        waiting = self.recoveries.waiting
        with contextlib.suppress(StoreError), self.database.read() as connection:
            if dead.role == "scheduler":
                at = connection.execute(sa.select(scheduler_heartbeat.c.at)).scalar()
                waiting.setdefault((dead.role, "", at or 0.0), died)
                return
            leased = shards if dead.role == "worker" else control_tasks
            query = sa.select(leased.c.id, leased.c.fence).where(
                leased.c.worker == dead.name, leased.c.state == ShardState.LEASED.value
            )
            for row in connection.execute(query):
                waiting[dead.role, row.id, row.fence] = died

    def _watch_recoveries(self) -> None:
        waiting = self.recoveries.waiting
        if not waiting:
            return
        with contextlib.suppress(StoreError), self.database.read() as connection:
            at = connection.execute(sa.select(scheduler_heartbeat.c.at)).scalar() or 0.0
            shard_ids, task_ids = (
                [id_ for role, id_, _ in waiting if role == wanted] for wanted in ("worker", "control")
            )
            leased = sa.select(shards.c.id, shards.c.fence).where(
                shards.c.id.in_(shard_ids), shards.c.state == ShardState.LEASED.value
            )
            held = {(row.id, row.fence) for row in connection.execute(leased)}
            untouched = sa.select(control_tasks.c.id, control_tasks.c.fence).where(
                control_tasks.c.id.in_(task_ids),
                control_tasks.c.state.in_([ShardState.LEASED.value, ShardState.PENDING.value]),
            )
            held |= {(row.id, row.fence) for row in connection.execute(untouched)}
            for (role, id_, fence), died in list(waiting.items()):
                if at > fence if role == "scheduler" else (id_, fence) not in held:
                    self.recoveries.by_role[role].append(time.monotonic() - died)
                    waiting.pop((role, id_, fence), None)

    # -- jobs ----------------------------------------------------------------------------------------------

    def submit(self, photographs: Photographs, **request: Any) -> str:
        """Submit a job over photographs; its id."""
        asked = submit.request_from(
            **{
                "dataset": str(photographs.folder),
                "model": MODEL,
                "preset": "paper",
                "target": "predicted",
                "save": (),
                "batch": 8,
            }
            | request
        )
        submitted: Submitted = submit.submit(self.database, self.settings_here, asked, new=True)
        return submitted.job_id

    @property
    def settings_here(self) -> Settings:
        """The settings, without the proxies."""
        return self.settings.model_copy(
            update={"database_url": self.database_url, "s3_endpoint": self.servers.s3.url}
        )

    def progress(self, job: str) -> queries.Progress:
        """The progress of a job. Waits while the database is away."""
        while True:
            try:
                return queries.job_progress(self.database, job)
            except StoreError:
                time.sleep(0.2)

    def wait(
        self, job: str, timeout: float = 120.0, until: Callable[[queries.Progress], bool] | None = None
    ) -> None:
        """Wait until the job has ended, or `until` holds; an AssertionError reports the progress.

        timeout: seconds on a machine of the usual speed.
        """
        timeout *= slowness()
        deadline = time.monotonic() + timeout
        while True:
            progress = self.progress(job)
            ended = False
            with contextlib.suppress(StoreError):  # wait while the database is away
                ended = queries.get_job(self.database, job).ended
            if ended or (until is not None and until(progress)):
                return
            assert time.monotonic() < deadline, f"after {timeout} s: {progress}\n{self.tails()}"
            time.sleep(0.1)

    def eventually(self, holds: Callable[[], Any], timeout: float = 30.0, what: str = "") -> Any:
        """Wait until `holds` returns a true value, and return it. timeout: seconds on a machine of the usual speed."""
        timeout *= slowness()
        deadline = time.monotonic() + timeout
        while not (answer := holds()):
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}\n{self.tails()}"
            time.sleep(0.05)
        return answer

    def incidents(self, job: str, kind: str) -> list[dict[str, Any]]:
        """The incidents of a kind in the ledger."""
        query = sa.select(incidents).where(incidents.c.job_id == job, incidents.c.kind == kind)
        with self.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def leased(self, worker: str) -> list[sa.Row[Any]]:
        """The shards that a worker holds."""
        query = sa.select(shards).where(shards.c.worker == worker, shards.c.state == ShardState.LEASED.value)
        with self.database.read() as connection:
            return list(connection.execute(query))

    def log(self, member: Member) -> str:
        """The log of a process and its predecessors."""
        return (self.directory / f"{member.number}-{member.role}.log").read_text(errors="replace")

    def tails(self) -> str:
        """The end of every log, for a failed test."""
        return "\n".join(
            f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-6:])
            for path in sorted(self.directory.glob("*.log"))
        )

    # -- faults --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def killing(self, rng: Any, *roles: str, every: tuple[float, float]) -> Iterator[None]:
        """Kill a random process of these roles, again and again, for the length of the block.

        every: the shortest and the longest pause, in seconds on a machine of the usual speed. On a slower machine the
        pauses are longer, because processes would otherwise die before they begin to work.
        """
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(rng.uniform(*every) * slowness()):
                victims = self.living(rng.choice(roles))
                if victims:
                    self.kill(rng.choice(victims))

        thread = threading.Thread(target=run, name="killer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def free_of_gfi(environment: dict[str, str]) -> dict[str, str]:
    """An environment without any configuration of gfi."""
    return {name: value for name, value in environment.items() if not name.startswith("GFI_")}


def here() -> Path:
    """The repository's root."""
    return Path(__file__).parents[2]


def gfi(*arguments: str, deployment: Deployment) -> str:
    """Run the `gfi` command in a deployment; returns its output, whatever its exit status."""
    import subprocess
    import sys

    settings = environment(deployment.settings_here)
    done = subprocess.run(
        [sys.executable, "-m", "gfi.cli.main", *arguments],
        env=free_of_gfi(dict(os.environ)) | settings | {"GFI_HOME": str(deployment.directory)},
        capture_output=True,
        text=True,
        timeout=60 * slowness(),
        check=False,
        cwd=here(),
        preexec_fn=functools.partial(die_with, os.getpid()),
    )
    return done.stdout + done.stderr

"""The embedded stack: Redis, S3, SQLite, scheduler and workers on this machine, for one user, without root.

Everything lives in one directory (`gfi.cli.home`). `gfi.cli.supervisor` runs a stack in the foreground or background.

Each process has its own session, so that Ctrl-C reaches only the supervisor. The supervisor stops the workers
first (they commit the finished images and release the rest) and the servers last. A process that ends by itself, a
server included, is started again, after a pause that grows as long as it ends early. When the supervisor is killed, its
children end with it (`gfi.cli.children`); no image is lost, as after a power failure.
"""

import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gfi.cli.children import PYTHON, end_processes, popen, process_record
from gfi.cli.errors import CommandError
from gfi.cli.home import (
    SupervisorLock,
    children_file,
    log_file,
    make_home,
    private_files,
    stack_file,
    write_private,
)
from gfi.cli.servers import HOST, Server, free_port, port_is_free, start_s3, start_valkey
from gfi.domain.pauses import doubled
from gfi.domain.queues import CONTROL_QUEUE

BUCKET = "gfi"
SAMPLE_MODEL = "efficientnet-lite0"
# A worker commits its finished images before it ends; one optimiser step of a batch can take seconds.
GRACE_S = 30.0
EARLY_S = 60.0
"""A process that ends sooner than this after its start is restarted more and more slowly."""
LONGEST_PAUSE_S = 30.0


@dataclass
class Child:
    """One supervised process: of gfi or one of the two servers. launch: starts it, or raises CommandError."""

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    log: Path
    process: subprocess.Popen[bytes]
    started_at: float
    failures: int = 0
    restart_at: float = field(default=0.0)


class Stack:
    """Starts, watches and stops the embedded stack of one home directory."""

    def __init__(
        self, home: Path, *, workers: int = 1, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.home = home
        self._workers = workers
        self._say = say
        self._lock = SupervisorLock(home)
        self._servers: dict[str, Server] = {}
        self._children: list[Child] = []
        self._stopping = False

    def start(self) -> None:
        """Start the servers, upgrade the database, register the sample model, start the processes of gfi.

        Raises AlreadyRuns when a stack runs in this directory, and CommandError when the directory cannot be written.
        """
        make_home(self.home)
        self._lock.acquire()
        with private_files():
            self._start()

    def _start(self) -> None:
        self._end_orphans()
        identity = self._identity()
        self._say("starting Redis and S3")
        self._start_server(
            "valkey",
            lambda: start_valkey(
                self.home / "valkey", identity["redis_port"], password=identity["redis_password"]
            ),
        )
        self._start_server(
            "s3",
            lambda: start_s3(
                self.home / "s3", identity["s3_port"], identity["s3_access_key"], identity["s3_secret_key"]
            ),
        )
        self._write_stack(identity)
        self._prepare()
        self._spawn("scheduler", ["scheduler"])
        self._spawn("control", ["worker", "--queues", CONTROL_QUEUE])
        self._spawn("api", ["api", "--port", str(identity["api_port"])])
        for number in range(1, self._workers + 1):
            self._spawn(f"worker-{number}" if self._workers > 1 else "worker", ["worker"])
        self._record_children()

    def watch(self) -> None:
        """Restart the processes that have ended. Call about once a second."""
        if self._stopping:
            return
        now = time.monotonic()
        restarted = [child for child in self._children if self._watch_child(child, now)]
        if restarted:
            self._record_children()

    def _watch_child(self, child: Child, now: float) -> bool:
        """Restart `child` if it has ended and its pause is over. True when it was restarted."""
        code = child.process.poll()
        if code is None:
            return False
        if not child.restart_at:
            self._pause(child, now, early=now - child.started_at < EARLY_S)
            self._say(f"{child.name} ended with {code}; its log is {child.log}; starting it again")
            return False
        if now < child.restart_at:
            return False
        try:
            child.process = child.launch()
        except CommandError as error:
            self._say(f"{child.name} could not be started again: {error}")
            self._pause(child, now, early=True)
            return False
        child.started_at, child.restart_at = now, 0.0
        return True

    @staticmethod
    def _pause(child: Child, now: float, *, early: bool) -> None:
        child.failures = child.failures + 1 if early else 1
        child.restart_at = now + doubled(1.0, child.failures - 1, LONGEST_PAUSE_S)

    def stop(self) -> None:
        """Stop everything that was started: SIGTERM first, SIGKILL after GRACE_S. May be called more than once.

        A stack that did not start because another one uses the directory changes nothing.
        """
        if not self._lock.held:
            return
        self._stopping = True
        # Workers before servers: to commit what they have finished, workers need the servers but no scheduler.
        ours = [child for child in reversed(self._children) if child.name not in self._servers]
        for child in ours:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in ours:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()
        while self._servers:
            self._servers.popitem()[1].stop()
        self._forget()
        self._lock.release()

    def _forget(self) -> None:
        """Remove the files that describe a running stack."""
        for file in (stack_file(self.home), children_file(self.home)):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)

    # -- parts of start ------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """Keys are made once. Ports stay the same if they are free, so that links to the stack stay valid."""
        path = self.home / "identity.json"
        try:
            identity: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            identity = {
                "s3_access_key": secrets.token_hex(10),
                "s3_secret_key": secrets.token_urlsafe(30),
                "redis_password": secrets.token_urlsafe(24),
            }
        for name in ("redis_port", "s3_port", "api_port"):
            port = identity.get(name)
            if not isinstance(port, int) or not port_is_free(port):
                identity[name] = free_port()
        write_private(path, identity)
        return identity

    def _write_stack(self, identity: dict[str, Any]) -> None:
        from gfi.jobs.notify_addresses import NotifySettings

        record = {
            "supervisor": process_record(os.getpid()),
            "database_url": f"sqlite:///{self.home / 'gfi.db'}",
            "redis_url": self._servers["valkey"].url,
            "s3_endpoint": self._servers["s3"].url,
            "s3_bucket": BUCKET,
            "api_url": f"http://{HOST}:{identity['api_port']}",
            "s3_access_key": identity["s3_access_key"],
            "s3_secret_key": identity["s3_secret_key"],
            # On one machine a dead worker's shard is free again within seconds; a cluster needs 90 s.
            "lease_s": 10,
            # For commands of other shells; the secret itself is masked.
            "notify": NotifySettings.load().model_dump(mode="json"),
        }
        write_private(stack_file(self.home), record)

    def _prepare(self) -> None:
        from gfi.store.database import Database, upgrade
        from gfi.store.objects import Bucket
        from gfi.store.queries import find_model
        from gfi.store.settings import Settings

        settings = Settings.load(self._environment())
        Bucket.from_settings(settings).ensure()
        database = Database(settings.require_database())
        upgrade(database)
        known = find_model(database, SAMPLE_MODEL) is not None
        database.dispose()
        if not known:
            self._register_sample_model()

    def _register_sample_model(self) -> None:
        self._say(f"registering the sample classifier {SAMPLE_MODEL}")
        # In a separate process: reading a network needs torch, which would stay in the supervisor's memory.
        added = subprocess.run(
            [*PYTHON, "-m", "gfi.cli.main", "models", "add", "--here", SAMPLE_MODEL],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if added.returncode:
            raise CommandError(f"the sample classifier could not be registered: {added.stderr.strip()}")

    def _environment(self) -> dict[str, str]:
        """The environment of the children: they use this stack, not an API that the user's shell names."""
        own = {name: value for name, value in os.environ.items() if name not in ("GFI_API_URL", "GFI_TOKEN")}
        return {**own, "GFI_HOME": str(self.home)}

    def _start_server(self, name: str, start: Callable[[], Server]) -> None:
        """Start a server; one that ends is started again over the same data, with the same port and keys."""

        def launch() -> subprocess.Popen[bytes]:
            if name in self._servers:
                self._servers[name].stop()  # it has ended; this removes its files in /tmp
            self._servers[name] = start()
            return self._servers[name].process

        process = launch()
        self._children.append(Child(name, launch, self._servers[name].log, process, time.monotonic()))

    def _spawn(self, name: str, arguments: list[str]) -> None:
        def launch() -> subprocess.Popen[bytes]:
            return self._popen(name, [*PYTHON, "-m", "gfi.cli.main", *arguments])

        self._say(f"starting {name}")
        self._children.append(Child(name, launch, log_file(self.home, name), launch(), time.monotonic()))

    def _popen(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with private_files(), log_file(self.home, name).open("ab") as output:
            return popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
                umask=0o077,
            )

    def _record_children(self) -> None:
        records = [{"name": child.name} | process_record(child.process.pid) for child in self._children]
        write_private(children_file(self.home), records)

    def _end_orphans(self) -> None:
        """End the processes that a killed supervisor left behind, and remove its files."""
        with contextlib.suppress(OSError, ValueError):
            end_processes(json.loads(children_file(self.home).read_text()), GRACE_S)
        self._forget()
